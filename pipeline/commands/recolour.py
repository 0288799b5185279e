"""`impasto recolour`: a prepared image at a level's size, in the colours that the artwork asks for."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from pipeline import canvas
from pipeline.colour import LUMA_WEIGHTS, linear_map, luminance_map
from pipeline.commands.options import size
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import scratch_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="a prepared image")
    parser.add_argument("--size", type=size, required=True, metavar="HxW", help="height and width in pixels")
    parser.add_argument(
        "--mode",
        choices=("keep", "linear", "luma"),
        default="keep",
        help="keep the colours, take the reference's, or keep luma alone (default: %(default)s)",
    )
    parser.add_argument("--reference", type=Path, help="the prepared image whose colours or luma are matched")
    parser.add_argument("--transform", choices=("pca", "chol", "sym"), default="pca", help="for linear")
    parser.add_argument("--luma-match", choices=("mean", "deviation"), default="deviation", help="for luma")
    parser.add_argument("--output", type=Path, required=True, help="a tiled float TIFF")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    if arguments.mode == "keep":
        canvas.resize(arguments.image, arguments.output, arguments.size)
    else:
        matrix, offset = _map(arguments)
        with scratch_path(arguments.output) as sized:
            canvas.resize(arguments.image, sized, arguments.size)
            canvas.map_colour(sized, arguments.output, matrix, offset)
    say(f"{arguments.output}: {arguments.size} px (height x width), {arguments.mode}")


def _map(arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """The affine map of colours, from the statistics of both images at their own sizes."""
    if arguments.mode == "linear":
        if arguments.reference is None:
            raise InputError("--mode linear", expected="--reference IMAGE", found="none")
        of_image, of_reference = canvas.moments(arguments.image), canvas.moments(arguments.reference)
        return linear_map(of_image, of_reference, arguments.transform)
    scale, shift = 1.0, 0.0
    if arguments.reference is not None:
        own, other = canvas.moments(arguments.image).luma, canvas.moments(arguments.reference).luma
        scale, shift = luminance_map(own, other, arguments.luma_match)
    return np.tile(scale * np.array(LUMA_WEIGHTS), (3, 1)), np.full(3, shift)
