"""`impasto apply`: paints an image of any size with a trained network, by tiles and exact."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import canvas
from pipeline.canvas import Mask, MaskedMap
from pipeline.colour import grey_map
from pipeline.commands.options import add_machine_arguments, check_apart, named_images, positive, size
from pipeline.commands.states import exit_stopped
from pipeline.console import Reporter, say
from pipeline.errors import InputError
from pipeline.feedforward.record import ApplicationRecord, PaintingRecord
from pipeline.files import scratch_path, write_json
from pipeline.geometry import Size
from pipeline.machine import prepare_machine, shortage_told, stop_requests
from pipeline.provenance import file_sha256
from pipeline.transformations import THUMBNAIL_PX

if TYPE_CHECKING:
    from pipeline.feedforward.models import ModelCard

_WHOLE = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="the content image")
    parser.add_argument(
        "--prepared",
        action="store_true",
        help="the image is a file that `impasto prepare` or `recolour` wrote, and is read as it is (default: "
        "it is decoded, turned upright and brought to sRGB first, in a file beside the output)",
    )
    parser.add_argument("--model", type=Path, required=True, help="a network's file, made by impasto train")
    parser.add_argument(
        "--style",
        action="append",
        default=[],
        metavar="REGION=IMAGE",
        help="the style that a region of the network is meant to have: a warning tells where it learnt "
        "another",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar="REGION=MASK",
        help="where a region of the network is: light is inside, `REGION=not:MASK` is what a mask leaves; "
        "any size and shape; once for each region",
    )
    where.add_argument(
        "--guides",
        type=Path,
        help="all of them in one file that `impasto guide` made, in the network's order",
    )
    parser.add_argument(
        "--channels",
        nargs="+",
        metavar="REGION",
        help="the network's region of each band of --guides, where they are others or in another order",
    )
    parser.add_argument(
        "--size",
        type=size,
        metavar="HEIGHTxWIDTH",
        help="bring the image to this size first: the network's strokes are as many pixels wide at any size "
        "(default: its own)",
    )
    parser.add_argument(
        "--moments",
        choices=("exact", "thumbnail"),
        default="exact",
        help="whether the normalisations' means and variances are the image's own, or a thumbnail's, which "
        "is quicker; how far that is off is measured and told (default: %(default)s)",
    )
    parser.add_argument(
        "--thumbnail-px",
        type=positive,
        default=THUMBNAIL_PX,
        metavar="PX",
        help="the square root of the thumbnail's area (default: %(default)s)",
    )
    parser.add_argument(
        "--colour",
        choices=("painted", "content", "luma"),
        default="painted",
        help="`content` keeps the painted luma and brings the content's chroma back, as a network of "
        "luminance always does; `luma` keeps luma alone, in three equal channels (default: %(default)s)",
    )
    parser.add_argument(
        "--luminance-mask",
        action="append",
        default=[],
        metavar="MASK",
        help="keep luma alone there only: light is inside, `not:MASK` is what a mask leaves; once for each, "
        "their sum counts (default: everywhere)",
    )
    parser.add_argument(
        "--memory-budget-mib",
        type=positive,
        default=2048,
        metavar="MIB",
        help="what tiles and held layers may take; what does not fit is held in files beside the output "
        "(default: %(default)s)",
    )
    add_machine_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="the painted image, a tiled float TIFF")
    parser.add_argument("--record", type=Path, required=True, help="settings, cost and device, as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    if arguments.luminance_mask and arguments.colour != "luma":
        raise InputError("--luminance-mask", expected="--colour luma beside it", found=arguments.colour)
    canvas.read_header(arguments.image)
    check_apart(arguments.output, arguments.image, arguments.model)
    # torch takes seconds, which help and mistakes need not wait for.
    from pipeline.feedforward.application import Picture, coverage_warnings, paint  # noqa: PLC0415
    from pipeline.feedforward.models import load_network  # noqa: PLC0415

    machine = prepare_machine(arguments.device, arguments.precision, arguments.threads)
    trained = load_network(arguments.model, machine.device)
    # Now: another file may take its place while it paints.
    sha256 = file_sha256(arguments.model)
    output, card = arguments.output, trained.card
    warnings = tuple(_other_styles(card, named_images("--style", arguments.style)))
    masks = _masks(arguments, card)
    channels = _channels(arguments, card)
    layers_folder = output.with_name(f".{output.stem}.layers")
    shutil.rmtree(layers_folder, ignore_errors=True)
    with ExitStack() as scratch:
        lower = (
            "Lower --memory-budget-mib (in config.yaml compute.memory_budget_mib), so that tiles are smaller"
        )
        scratch.enter_context(shortage_told(output, lower))
        image = _image(arguments, scratch)
        guides = _guides(arguments, masks, canvas.size_of(image), scratch)
        keeps_chroma = arguments.colour == "content" or card.colour == "luminance"
        keeps_luma = arguments.colour == "luma"
        coloured = scratch.enter_context(scratch_path(output, "coloured")) if keeps_luma else output
        painted = scratch.enter_context(scratch_path(output, "painted")) if keeps_chroma else coloured
        scratch.callback(shutil.rmtree, layers_folder, ignore_errors=True)
        picture = Picture(image, guides, channels)
        warnings += coverage_warnings(trained, picture)
        for warning in warnings:
            say(f"warning: {warning}")
        with (
            Reporter(f"apply {output.stem}, per cent", _WHOLE) as reporter,
            stop_requests() as should_stop,
        ):

            def show(done: int, total: int) -> None:
                reporter.update(_WHOLE * done // total)
                if should_stop():
                    say(f"stopped after {done} of {total} tiles; the same command begins anew")
                    exit_stopped()

            record = paint(
                trained,
                picture,
                painted,
                moments=arguments.moments,
                thumbnail_px=arguments.thumbnail_px,
                memory_budget_mib=arguments.memory_budget_mib,
                machine=machine,
                layers_folder=layers_folder,
                show=show,
            )
        if keeps_chroma:
            canvas.combine_luminance(painted, image, coloured)
        if keeps_luma:
            _keep_luma(coloured, output, arguments.luminance_mask)
    told = PaintingRecord(
        application=record,
        colour="luma" if keeps_luma else "content" if keeps_chroma else "painted",
        model={"sha256": sha256, **card.model_dump(mode="json")},
        warnings=warnings,
    )
    write_json(arguments.record, told.model_dump(mode="json"))
    _tell(output, record)


def _other_styles(card: ModelCard, styles: Mapping[str, Path]) -> Iterator[str]:
    """A sentence for each region of the network that learnt another style than it is meant to have.

    Raises:
        InputError: The network has no such region, or an image cannot be read. One of a network that has no
            other may have any name.
    """
    for name, image in styles.items():
        alone = len(card.regions) == 1
        named = [region for region in card.regions if alone or region.name == name]
        if not named:
            found = f"regions of the network ({', '.join(card.names)})"
            raise InputError("--style", expected=found, found=name)
        if named[0].style_sha256 != file_sha256(image):
            yield (
                f"the network paints {name} in the style of {named[0].style}, another file than {image}: it "
                "knows the style that it was trained on alone"
            )


def _keep_luma(image: Path, output: Path, masks: Sequence[str]) -> None:
    """Writes an image with luma alone in three equal channels, everywhere or where the masks are light."""
    grey = grey_map(1.0, 0.0)
    maps = [MaskedMap(grey, Mask.parse(text)) for text in masks] or [MaskedMap(grey)]
    canvas.recolour(image, output, canvas.size_of(image), maps)


def _tell(output: Path, record: ApplicationRecord) -> None:
    if record.deviation is not None:
        say(
            f"the thumbnail's moments change the result by {record.deviation.rms:.2f} grey levels (root mean "
            f"square, {record.deviation.largest:.1f} at most) on {record.deviation.sampled_px / 1e6:.2g} "
            f"sampled megapixels; expect at most {record.deviation.bound:.2f} over the whole image"
        )
    say(
        f"{output}: {record.height_px}x{record.width_px} px, {record.seconds:.1f} s, "
        f"{record.megapixels_per_s:.2f} megapixels/s, {record.precision}, {record.peak_memory_mib:.0f} MiB, "
        f"layers in {record.store}"
    )


def _masks(arguments: argparse.Namespace, card: ModelCard) -> Mapping[str, Mask]:
    """The masks by region, in the network's order; empty for a network of one region.

    Raises:
        InputError: They are not those of the network's regions.
    """
    found: dict[str, Mask] = {}
    for text in arguments.mask:
        name, separator, mask = text.partition("=")
        if not separator or not name or not mask.removeprefix("not:"):
            raise InputError("--mask", expected="REGION=MASK", found=repr(text))
        if name in found:
            raise InputError("--mask", expected="each region once", found=f"{name} twice")
        found[name] = Mask.parse(mask)
    if len(card.regions) == 1:
        if found or arguments.guides is not None:
            raise InputError(
                "--mask" if found else "--guides",
                expected=f"none, for a network of one region, {card.names[0]}",
                found="some",
            )
        return {}
    if arguments.guides is None and set(found) != set(card.names):
        raise InputError(
            "--mask",
            expected=f"a mask for each of the network's regions {', '.join(card.names)}",
            found=", ".join(found) or "none",
        )
    return {name: found[name] for name in card.names if name in found}


def _channels(arguments: argparse.Namespace, card: ModelCard) -> tuple[int, ...] | None:
    """The place of each band's region among the network's; None where they are its own in order."""
    if arguments.channels is None:
        return None
    if arguments.guides is None:
        raise InputError("--channels", expected="--guides beside it", found="none")
    unknown = [name for name in arguments.channels if name not in card.names]
    if unknown:
        raise InputError(
            "--channels",
            expected=f"regions of the network ({', '.join(card.names)})",
            found=", ".join(unknown),
        )
    return tuple(card.names.index(name) for name in arguments.channels)


def _image(arguments: argparse.Namespace, scratch: ExitStack) -> Path:
    """The content image, decoded as `impasto prepare` does unless a stage did, and at its size."""
    image: Path = arguments.image
    wanted: Size | None = arguments.size
    if not arguments.prepared:
        image = scratch.enter_context(scratch_path(arguments.output, "prepared"))
        clipped = canvas.prepare(arguments.image, image)
        if clipped:
            say(f"{arguments.image}: {clipped:.2%} of its numbers lay outside 0 to 1 and were clipped")
    if wanted is not None and wanted != canvas.size_of(image):
        sized = scratch.enter_context(scratch_path(arguments.output, "sized"))
        canvas.resize(image, sized, wanted)
        return sized
    return image


def _guides(
    arguments: argparse.Namespace, masks: Mapping[str, Mask], wanted: Size, scratch: ExitStack
) -> Path | None:
    if not masks:
        given: Path | None = arguments.guides
        return given
    composed = scratch.enter_context(scratch_path(arguments.output, "guides"))
    regions: Sequence[Mask] = list(masks.values())
    canvas.compose_guides(regions, composed, wanted)
    return composed
