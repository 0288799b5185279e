"""Numbers and settings as a reader wants to see them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NARROW_SPACE = "\u202f"
TIMES = "\u00d7"
_NO_VALUE = "\u2013"
_MEANINGS = {
    "style_distance": "0 is the style's own texture, 1 no likeness",
    "content_similarity": "1 keeps all of the photograph's shapes",
    "colour_to_content": "CIEDE2000, seen from afar",
    "colour_to_style": "of the range of colours, in CIELAB",
    "seams": "0 where tiles join without a trace",
    "clipping": "the share of pixels at black or white",
}


def integer(value: float) -> str:
    """12 345 with narrow spaces that do not break, from five digits up: `7087`, `12 345`."""
    text = f"{value:.0f}"
    return f"{value:,.0f}".replace(",", _NARROW_SPACE) if len(text.lstrip("-")) > 4 else text


def power_of_ten(exponent: int) -> str:
    """10 raised to the exponent, in Unicode: `10⁵`."""
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}"


def scientific(value: float | None) -> str:
    """Three digits: `0.0123`, `482`, `4.82 x 10⁵` with a true times sign; a dash for None or not a number."""
    if value is None or math.isnan(value):
        return _NO_VALUE
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    # Rounded before it is told apart: 999.6 is 1000, and 9999.7 is 10⁴.
    mantissa, exponent = f"{value:.2e}".split("e")
    if value == 0 or (int(exponent) >= -3 and abs(value) < 9999.5):
        return f"{value:.0f}" if int(exponent) >= 3 else f"{value:.3g}"
    return f"{mantissa} {TIMES} {power_of_ten(int(exponent))}"


def duration(seconds: float) -> str:
    """`0.42 s`, `8.1 s`, `41 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 59.5:
        return (
            f"{seconds:.2f} s"
            if seconds < 1
            else f"{seconds:.1f} s"
            if seconds < 9.95
            else f"{seconds:.0f} s"
        )
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def percent(share: float) -> str:
    """A share in [0, 1] as `38 %`; one decimal below 10 %."""
    value = 100 * share
    return f"{value:.0f}{_NARROW_SPACE}%" if value >= 9.95 or value == 0 else f"{value:.1f}{_NARROW_SPACE}%"


def mebibytes(value: float | None) -> str:
    """`850 MiB`, `1.2 GiB`; a dash for what was not measured."""
    if value is None:
        return _NO_VALUE
    return f"{value:.0f} MiB" if value < 1000 else f"{value / 1024:.1f} GiB"


def yaml_text(artworks: Mapping[str, Mapping[str, Any]]) -> str:
    """Artworks' settings as they can be written into config.yaml, each key on a line of its own."""
    lines = []
    for name, settings in artworks.items():
        lines.append(_yaml(name, None).removesuffix(" null"))
        for key, value in settings.items():
            lines.append(textwrap.indent(_yaml(key, value), "  "))
    return "\n".join(lines)


def _yaml(key: str, value: Any) -> str:
    # In PyYAML's own style a mapping without anything nested is one line in braces.
    braces = None if isinstance(value, Mapping | list) else False
    text = yaml.safe_dump(
        {key: value}, sort_keys=False, allow_unicode=True, width=100, default_flow_style=braces
    )
    return text.rstrip()


def figure_rows(quality: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The summary of what was measured, `figures`, in words; empty where there is none."""
    figures = quality.get("figures")
    if not isinstance(figures, Mapping):
        return []
    return [
        (str(name).replace("_", " ").capitalize(), _figure(str(name), value))
        for name, value in figures.items()
        if value is None or isinstance(value, int | float)
    ]


def _figure(name: str, value: float | None) -> str:
    if name == "seams" and value is None:
        return "no tile borders to measure"
    meaning = _MEANINGS.get(name)
    return f"{scientific(value)} ({meaning})" if meaning else scientific(value)


def setting_rows(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A nested mapping as (key, value) texts; the keys are paths: `regions.sky.styles[0].weight`."""
    return list(_rows("", settings)) if settings else []


def _rows(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _rows(f"{key}.{name}" if key else str(name), item)
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value):
        for index, item in enumerate(value):
            yield from _rows(f"{key}[{index}]", item)
    else:
        yield key, _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, list | tuple):
        text = ", ".join(_scalar(item) for item in value) or "none"
    elif value is None or (isinstance(value, Mapping) and not value):
        text = "none"
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, float):
        text = f"{value:.6g}"
    else:
        text = str(value)
    return text
