"""`impasto calibrate`: the channel means of a network on photographs, for the normalised network."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import __version__, canvas, weights
from pipeline.commands import photographs
from pipeline.commands.options import add_machine_arguments, check_apart, positive
from pipeline.config.sections import NETWORKS
from pipeline.console import Reporter, say
from pipeline.errors import InputError, WeightsError
from pipeline.fetching.sources import sha256_of
from pipeline.files import scratch_path
from pipeline.geometry import Box, Size
from pipeline.machine import prepare_machine, shortage_told

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.calibration import Calibration

_SIZE_PX = 288
_STRIDE_PX = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "photographs",
        type=Path,
        nargs="+",
        metavar="PHOTO",
        help="photographs, and folders whose photographs are all taken; a hundred different scenes at least",
    )
    parser.add_argument("--weights", type=Path, required=True, help="the network's model file")
    parser.add_argument("--network", choices=tuple(NETWORKS), default="vgg16", help="(default: %(default)s)")
    parser.add_argument("--pooling", choices=("max", "average"), default="max", help="(default: %(default)s)")
    parser.add_argument(
        "--size-px",
        type=positive,
        default=_SIZE_PX,
        metavar="PX",
        help="each photograph is shrunk until its shorter side has this many pixels, and the square in its "
        "middle is taken; a multiple of 16 (default: %(default)s)",
    )
    add_machine_arguments(parser, precision="float32")
    parser.add_argument("--output", type=Path, required=True, help="a safetensors file, one vector per layer")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    if arguments.size_px % _STRIDE_PX:
        raise InputError("--size-px", expected=f"a multiple of {_STRIDE_PX}", found=str(arguments.size_px))
    check_apart(arguments.output, arguments.weights)
    given = photographs.named(arguments.photographs)
    _check_sizes(given, arguments.size_px)
    file = weights.load(arguments.weights)
    if file.name != arguments.network:
        raise WeightsError(
            arguments.weights, expected=f"the model file of {arguments.network}", found=file.name
        )
    paths = _different(given)
    # torch takes seconds, which help and mistakes need not wait for.
    from pipeline.calibration import measure_means  # noqa: PLC0415
    from pipeline.features import Encoder  # noqa: PLC0415
    from pipeline.normalisation import MeansRecord, save_means  # noqa: PLC0415

    machine = prepare_machine(arguments.device, arguments.precision, arguments.threads)
    architecture = NETWORKS[arguments.network]
    layers = [layer for layer in architecture if f"{layer.convolution}.weight" in file.tensors]
    encoder = Encoder(
        file.tensors,
        architecture,
        file.preprocessing,
        pooling=arguments.pooling,
        dtype=machine.dtype,
        device=machine.device,
    )
    lower = shortage_told(arguments.output, "Lower --size-px")
    with lower, Reporter("calibrate", len(paths)) as reporter:
        squares = _squares(paths, arguments.size_px, arguments.output)
        found = measure_means(encoder, layers, squares, reporter.update)
    record = MeansRecord(
        network=arguments.network,
        weights_sha256=file.tensors_sha256,
        pooling=arguments.pooling,
        photographs=found.photographs,
        size_px=arguments.size_px,
        correlations=found.correlations,
        version=__version__,
    )
    save_means(arguments.output, found.means, record)
    _tell(
        arguments.output, found, f"{arguments.size_px} px, {arguments.pooling} pooling, {machine.precision}"
    )


def _tell(output: Path, found: Calibration, how: str) -> None:
    """Says what was measured, and whether it can be trusted."""
    listed = ", ".join(f"{name} {value:.2f}" for name, value in found.correlations.items())
    say(f"halves of the photographs correlate: {listed}")
    if found.doubtful:
        say(
            f"warning: {found.photographs} photographs do not agree enough at {', '.join(found.doubtful)} "
            "(halves correlate below 0.9 there); measure on more, and on more different scenes"
        )
    say(f"{output}: {len(found.means)} convolutions, {found.photographs} photographs of {how}")


def _different(paths: Sequence[Path]) -> list[Path]:
    """The files of different contents, ordered by their hashes.

    Whatever order they are named in, the same photographs then make the same halves; and neighbours in a
    folder, which often show the same scene, are not dealt to both halves by turns.
    """
    by_hash: dict[str, Path] = {}
    for path in paths:
        by_hash.setdefault(sha256_of(path), path)
    if len(by_hash) < 2:
        raise InputError(
            paths[0], expected="two different photographs at least", found="one", fix="A hundred are enough"
        )
    if len(by_hash) < len(paths):
        say(f"{len(paths) - len(by_hash)} of {len(paths)} files repeat another one and are not counted")
    return [by_hash[digest] for digest in sorted(by_hash)]


def _check_sizes(paths: Sequence[Path], size_px: int) -> None:
    """Raises an InputError for the first file that is no image, or the first of those that are too small."""
    sizes = {path: canvas.read_header(path).size for path in paths}
    small = [path for path in paths if min(sizes[path].height, sizes[path].width) < size_px]
    if small:
        first = min(small)
        raise InputError(
            first,
            expected=f"sides of at least {size_px} px, since enlarged photographs are blurred",
            found=f"{sizes[first]} px; too small are {len(small)} of {len(sizes)}",
            fix="Leave them out, or lower --size-px",
        )


def _squares(paths: Sequence[Path], size_px: int, output: Path) -> Iterator[Tensor]:
    """The middle of each photograph, decoded one at a time; sRGB in [0, 1]."""
    import torch  # noqa: PLC0415 - see `run`

    for path in paths:
        beside = output.with_suffix(".tif")
        with scratch_path(beside, "decoded") as decoded, scratch_path(beside, "sized") as sized:
            canvas.prepare(path, decoded)
            canvas.resize(decoded, sized, _covering(canvas.size_of(decoded), size_px), clip=True)
            size = canvas.size_of(sized)
            top, left = (size.height - size_px) // 2, (size.width - size_px) // 2
            square = canvas.read(sized, Box(top, left, top + size_px, left + size_px))
        yield torch.from_numpy(square).permute(2, 0, 1)


def _covering(size: Size, side_px: int) -> Size:
    """The size of this aspect ratio whose shorter side is `side_px`; rounding: the longer, to nearest."""
    shorter = min(size.height, size.width)
    return Size(
        max(side_px, round(size.height * side_px / shorter)),
        max(side_px, round(size.width * side_px / shorter)),
    )
