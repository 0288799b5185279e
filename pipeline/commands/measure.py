"""`impasto measure`: the style distance of an image, or of its regions, to a style."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from pipeline import canvas, weights
from pipeline.commands.options import positive, size
from pipeline.console import Reporter, say
from pipeline.errors import InputError
from pipeline.files import write_json
from pipeline.geometry import Size
from pipeline.machine import Machine, prepare_machine

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.evaluation import StyleDistance

_EVERYTHING = "everything"
_STYLE = "--style-mask"
_DEFINED_WITH = "vgg16"
_NOT = "not:"

Mask = tuple[Path, bool]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="the image that is judged; any image file")
    parser.add_argument("--style", type=Path, required=True, help="the style image; any image file")
    parser.add_argument("--style-mask", metavar="MASK", help="the part of the style; `not:MASK` inverts it")
    parser.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar="NAME=MASK",
        help="a region of the image and its mask file; `NAME=not:MASK` takes what the mask leaves; once for "
        "each region (default: the whole image)",
    )
    parser.add_argument("--weights", type=Path, required=True, help="the model file of vgg16")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--style-size", type=size, metavar="HxW", help="bring the style to this height and width first"
    )
    sizes.add_argument(
        "--level-px",
        type=positive,
        metavar="PX",
        help="bring the style to the area of this level first, as `styles.scale: 1` does",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: %(default)s)"
    )
    parser.add_argument("--threads", type=positive, default=2, help="CPU threads (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="the distances by region and layer, as JSON")


@final
@dataclass(frozen=True, slots=True)
class _Prepared:
    """An image and its regions on disk, of one size, ready to be read by boxes."""

    image: Path
    masks: Path | None
    regions: tuple[str, ...]

    @property
    def size(self) -> Size:
        return canvas.size_of(self.image)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    regions = dict(_region(text) for text in arguments.mask)
    if len(regions) < len(arguments.mask):
        raise InputError("--mask", expected="a name of its own for each region", found="one name twice")
    style_part = {} if arguments.style_mask is None else {_STYLE: _mask("--style-mask", arguments.style_mask)}
    file = weights.load(arguments.weights)
    with tempfile.TemporaryDirectory(prefix="impasto-measure-") as folder:
        image = _prepare(Path(folder) / "image", arguments.image, regions)
        style = _prepare(Path(folder) / "style", arguments.style, style_part, _style_size(arguments))
        # torch takes seconds, which help and mistakes need not wait for.
        from pipeline.evaluation import distance  # noqa: PLC0415

        machine = prepare_machine(arguments.device, "float32", arguments.threads)
        (wanted,) = _grams(style, file, machine)
        found = {
            name: distance(gram, wanted)
            for name, gram in zip(image.regions, _grams(image, file, machine), strict=True)
        }
        sizes = {"image_px": _sides(image.size), "style_px": _sides(style.size)}
    _tell(found, file.name)
    if arguments.output is not None:
        write_json(arguments.output, _given(arguments) | sizes | _as_json(found, file))


def _region(text: str) -> tuple[str, Mask]:
    name, separator, mask = text.partition("=")
    if not separator or not name:
        raise InputError("--mask", expected="NAME=MASK", found=repr(text))
    return name, _mask("--mask", mask)


def _mask(option: str, text: str) -> Mask:
    path = text.removeprefix(_NOT)
    if not path:
        raise InputError(option, expected="a mask file", found=repr(text))
    return Path(path), text.startswith(_NOT)


def _style_size(arguments: argparse.Namespace) -> Size | None:
    """The size to bring the style to; None leaves it."""
    size: Size | None = arguments.style_size
    if arguments.level_px is not None:
        size = canvas.read_header(arguments.style).size.of_area(arguments.level_px)
    if size is not None and min(size.height, size.width) < canvas.MIN_SIDE_PX:
        raise InputError(
            "--style-size" if arguments.level_px is None else "--level-px",
            expected=f"a style with sides of at least {canvas.MIN_SIDE_PX} px",
            found=f"{size} px (height x width)",
        )
    return size


def _prepare(stem: Path, source: Path, regions: Mapping[str, Mask], size: Size | None = None) -> _Prepared:
    """Decodes an image as `impasto prepare` does, and brings its regions' masks to its size.

    Raises:
        InputError: A file is unsuitable, or a mask covers nothing.
    """
    canvas.read_header(source)
    image, sized = stem.with_suffix(".tif"), stem.with_suffix(".sized.tif")
    canvas.prepare(source, image)
    if size is not None:
        canvas.resize(image, sized, size, clip=True)
        image = sized
    if not regions:
        return _Prepared(image, None, (_EVERYTHING,))
    masks = stem.with_suffix(".masks.tif")
    canvas.compose_guides(list(regions.values()), masks, canvas.size_of(image))
    for (name, (path, _)), coverage in zip(regions.items(), canvas.band_means(masks), strict=True):
        if coverage == 0:
            where = name if name == _STYLE else f"region {name}"
            raise InputError(
                where, expected="a mask that covers some of the image", found=f"nothing in {path}"
            )
    return _Prepared(image, masks, tuple(regions))


def _grams(prepared: _Prepared, file: weights.Weights, machine: Machine) -> list[dict[str, Tensor]]:
    """The Gram matrices of each region by layer; progress is shown where there is more than one crop."""
    from pipeline.evaluation import Picture, crop_count, gram_matrices  # noqa: PLC0415 - see `run`

    def picture(path: Path, bands: int) -> Picture:
        return Picture(prepared.size, lambda box: canvas.read(path, box)[..., :bands])

    count = crop_count(prepared.size)
    with Reporter(f"measure {prepared.image.stem}", count) if count > 1 else nullcontext() as reporter:
        return gram_matrices(
            picture(prepared.image, 3),
            file,
            None if prepared.masks is None else picture(prepared.masks, len(prepared.regions)),
            names=prepared.regions,
            device=machine.device,
            show=reporter.update if reporter is not None else lambda _: None,
        )


def _tell(found: Mapping[str, StyleDistance], network: str) -> None:
    """Says each region's distance, and where it is not quite what the word stands for."""
    if network != _DEFINED_WITH:
        say(f"warning: the style distance is defined with {_DEFINED_WITH}; these are with {network}")
    for name, region in found.items():
        if region.left_out:
            say(f"warning: {name} is less than one unit of {', '.join(region.left_out)}, which are left out")
        layers = ", ".join(f"{layer} {value:.4f}" for layer, value in region.layers.items())
        say(f"{name}: style distance {region.value:.4f} ({layers})")


def _given(arguments: argparse.Namespace) -> dict[str, object]:
    return {
        "image": str(arguments.image),
        "style": str(arguments.style),
        "style_mask": arguments.style_mask,
        "masks": arguments.mask,
    }


def _as_json(found: Mapping[str, StyleDistance], file: weights.Weights) -> dict[str, object]:
    regions = {
        name: {"distance": region.value, "layers": dict(region.layers), "left_out": list(region.left_out)}
        for name, region in found.items()
    }
    return {"network": file.name, "weights_sha256": file.tensors_sha256, "regions": regions}


def _sides(size: Size) -> list[int]:
    return [size.height, size.width]
