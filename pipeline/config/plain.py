"""YAML as plain values: no key twice in one mapping, nothing deeper than can be read; by the parser in C.

What looks like a number or a date and is none, such as 2024-13-45, is a mistake like any other.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, final

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

try:
    from yaml import CSafeLoader as _FastLoader
except ImportError:  # PyYAML was built without libyaml.
    from yaml import SafeLoader as _FastLoader  # type: ignore[assignment]

_DEEPEST = 100


@final
class SaidTwiceError(Exception):
    """A mapping has this key twice, the second time in this line (counted from 1)."""

    def __init__(self, key: Hashable, line: int) -> None:
        super().__init__(key, line)
        self.key = key
        self.line = line


@final
class NestingError(yaml.YAMLError):
    """More values inside others than the stack of the parser in C has room for, or one inside itself."""


def plain_values(text: str) -> Any:
    """What `text`, YAML or JSON, says.

    Raises:
        SaidTwiceError: A key stands twice in one mapping; YAML would drop the first without a word.
        yaml.YAMLError: It is no YAML, with the place; or a `NestingError`.
    """
    try:
        _check_nesting(text)
        return yaml.load(text, _UniqueKeysFast)
    except NestingError:
        raise
    except yaml.YAMLError:
        # The other parser shows the line.
        return yaml.load(text, _UniqueKeys)


def _check_nesting(text: str) -> None:
    around: list[str | None] = []
    for event in yaml.parse(text, _FastLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            around.append(event.anchor)
            if len(around) > _DEEPEST:
                raise NestingError(f"more than {_DEEPEST} values inside others")
        elif isinstance(event, yaml.CollectionEndEvent):
            around.pop()
        elif isinstance(event, yaml.AliasEvent) and event.anchor in around:
            raise NestingError(f"a value inside itself, *{event.anchor}")


class _OnceEach(SafeConstructor):
    """Abstract: values of mappings that say each key once, none of which ends in Python's own errors."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (AttributeError, LookupError, ValueError):
            # 2024-13-45 is no date, `!!int x` no number, and Python reads no number of 5000 digits.
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"what is no {kind}", node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag != "tag:yaml.org,2002:merge":
                key = self.construct_object(key_node)
                if key in seen:
                    raise SaidTwiceError(key, key_node.start_mark.line + 1)
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


@final
class _UniqueKeys(_OnceEach, yaml.SafeLoader):
    """The parser in Python."""


@final
class _UniqueKeysFast(_OnceEach, _FastLoader):
    """The parser in C, where PyYAML was built with it."""
