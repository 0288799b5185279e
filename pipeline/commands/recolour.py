"""`impasto recolour`: a prepared image at a level's size, in the colours that the artwork asks for."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, final, get_args

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from pipeline import canvas
from pipeline.canvas import Mask, MaskedMap
from pipeline.colour import (
    AffineMap,
    ColourMap,
    LinearTransform,
    LumaMatch,
    grey_map,
    histogram_map,
    linear_map,
    luminance_map,
)
from pipeline.commands.options import size
from pipeline.config.mistakes import shown
from pipeline.config.sections import Model
from pipeline.console import say
from pipeline.errors import InputError

Mode = Literal["keep", "linear", "luma"]
Transform = Literal[LinearTransform, "histogram"]

_FLAGS = ("mode", "transform", "reference", "luma_match", "mask", "reference_mask")
_OPTIONS = "options"
_EXPECTED = {
    "tuple_type": "a JSON list of colour maps",
    "model_type": "a JSON object",
    "string_too_short": "a path",
}


@final
class MapWords(Model):
    """What is asked of one map of colours, in words: an entry of `--maps`, or the flags for a single one.

    Attributes:
        mode: Keep the colours, take the reference's, or keep luma alone.
        transform: For `linear`; `pca` by default.
        reference: The prepared image whose colours or luma are matched.
        luma_match: For `luma` with a reference; `deviation` by default.
        mask: The part of the image whose statistics count, and where the map applies: `FILE` or `not:FILE`.
        reference_mask: The part of the reference whose statistics count.
        everywhere: Apply the map outside the mask as well.
        measured_everywhere: Count all of the image, and apply the map inside the mask only.
        may_be_empty: The masks may have no light, as where nobody is found: then the map applies nowhere, and
            all of the reference counts.
    """

    mode: Mode = "keep"
    transform: Transform | None = None
    reference: Path | None = None
    luma_match: LumaMatch | None = None
    mask: str | None = Field(None, min_length=1)
    reference_mask: str | None = Field(None, min_length=1)
    everywhere: bool = False
    measured_everywhere: bool = False
    may_be_empty: bool = False

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> MapWords:
        if self.mode == "linear" and self.reference is None:
            raise ValueError("mode linear needs a reference")
        if self.mode == "keep" and self.reference is not None:
            raise ValueError("mode keep takes no reference")
        if self.transform is not None and self.mode != "linear":
            raise ValueError(f"mode {self.mode} takes no transform")
        if self.luma_match is not None and self.mode != "luma":
            raise ValueError(f"mode {self.mode} takes no luma match")
        if self.reference_mask is not None and self.reference is None:
            raise ValueError("a mask of the reference needs a reference")
        return self


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="a prepared image")
    parser.add_argument("--size", type=size, required=True, metavar="HxW", help="height and width in pixels")
    parser.add_argument(
        "--mode",
        choices=get_args(Mode),
        help="keep the colours, take the reference's, or keep luma alone (default: keep)",
    )
    parser.add_argument("--reference", type=Path, help="the prepared image whose colours or luma are matched")
    parser.add_argument(
        "--transform", choices=("pca", "chol", "sym", "histogram"), help="for linear (default: pca)"
    )
    parser.add_argument("--luma-match", choices=get_args(LumaMatch), help="for luma (default: deviation)")
    parser.add_argument(
        "--mask",
        help="the part of the image that counts and changes: light is inside; `not:MASK` is what MASK leaves",
    )
    parser.add_argument("--reference-mask", help="the part of the reference that counts")
    parser.add_argument(
        "--maps",
        metavar="FILE",
        help="instead of the options above: a JSON list of maps that are blended by their masks, each with "
        f"{', '.join(MapWords.model_fields)}; `-` reads standard input",
    )
    parser.add_argument("--output", type=Path, required=True, help="a tiled float TIFF")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    wanted = _wanted(arguments)
    canvas.recolour(arguments.image, arguments.output, arguments.size, _maps(arguments.image, wanted))
    modes = ", ".join(dict.fromkeys(words.mode for words in wanted)) or "keep"
    say(f"{arguments.output}: {arguments.size} px (height x width), {modes}")


def _wanted(arguments: argparse.Namespace) -> tuple[MapWords, ...]:
    flags = {name: value for name in _FLAGS if (value := getattr(arguments, name)) is not None}
    if arguments.maps is None:
        return _checked([flags], _OPTIONS)
    if flags:
        option = f"--{next(iter(flags)).replace('_', '-')}"
        raise InputError("--maps", expected="every map in its list", found=f"{option} beside it")
    where = "standard input" if arguments.maps == "-" else arguments.maps
    try:
        text = sys.stdin.read() if arguments.maps == "-" else Path(arguments.maps).read_text(encoding="utf-8")
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(where, expected="a JSON list of colour maps", found="no JSON") from None
    return _checked(raw, where)


def _checked(raw: Any, where: str) -> tuple[MapWords, ...]:
    """The maps that plain values describe; the first thing wrong with them as one line."""
    try:
        return TypeAdapter(tuple[MapWords, ...]).validate_python(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    place = where
    if where != _OPTIONS:
        index, *keys = first["loc"] or ("",)
        place = ", ".join(
            [f"{where}: map {index + 1}" if isinstance(index, int) else where, *map(str, keys[:1])]
        )
    if first["type"] == "value_error":
        raise InputError.stating(f"{place}: {first['msg'].removeprefix('Value error, ')}")
    if first["type"] == "extra_forbidden":
        raise InputError(
            place, expected=f"a key among {', '.join(MapWords.model_fields)}", found="an unknown one"
        )
    expected = _EXPECTED.get(first["type"], first["msg"].removeprefix("Input should be "))
    raise InputError(place, expected=expected, found=shown(first["input"]))


def _maps(image: Path, wanted: Sequence[MapWords]) -> list[MaskedMap]:
    """The maps of colours, from statistics of the prepared images at their own sizes, each measured once."""
    moments, histogram = cache(canvas.moments), cache(canvas.histogram)
    is_dark = cache(canvas.is_dark)

    def is_nowhere(words: MapWords, text: str | None) -> bool:
        return words.may_be_empty and text is not None and is_dark(Mask.parse(text))

    def made(words: MapWords) -> ColourMap:
        own = (image, None if words.measured_everywhere else _mask(words.mask))
        if words.reference is None:
            return AffineMap.identity() if words.mode == "keep" else grey_map()
        # Where nobody is in the reference, all of it counts.
        part = None if is_nowhere(words, words.reference_mask) else _mask(words.reference_mask)
        other = (words.reference, part)
        if words.mode == "luma":
            match = words.luma_match or "deviation"
            return grey_map(*luminance_map(moments(*own).luma, moments(*other).luma, match))
        if words.transform == "histogram":
            return histogram_map(histogram(*own), histogram(*other))
        return linear_map(moments(*own), moments(*other), words.transform or "pca")

    # A map without a place changes nothing, and has no statistics either.
    placed = [words for words in wanted if not is_nowhere(words, words.mask)]
    return [MaskedMap(made(words), None if words.everywhere else _mask(words.mask)) for words in placed]


def _mask(text: str | None) -> Mask | None:
    return None if text is None else Mask.parse(text)
