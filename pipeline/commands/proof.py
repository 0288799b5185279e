"""`impasto proof`: how an artwork will look in its profile's colours, and what of it cannot be printed."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import canvas
from pipeline.commands.options import positive
from pipeline.console import say
from pipeline.errors import InputError
from pipeline.files import write_json
from pipeline.plan import read_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("image", type=Path, help="the assembled image")
    parser.add_argument("--plan", type=Path, required=True, help="the artwork's plan.json")
    parser.add_argument(
        "--longer-side-px", type=positive, default=1024, help="of the pictures (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, required=True, help="the soft proof, a PNG")
    parser.add_argument(
        "--gamut", type=Path, required=True, help="the image in grey with what cannot be printed in magenta"
    )
    parser.add_argument("--record", type=Path, required=True, help="the share of that, as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    settings = read_plan(arguments.plan).settings.print
    if settings.profile is None:
        raise InputError(arguments.plan, expected="a print.profile to be proofed with", found="none")
    profile = canvas.read_profile(settings.profile)
    proof = canvas.write_proof(
        arguments.image, arguments.output, arguments.gamut, settings.encoding, arguments.longer_side_px
    )
    record = {
        "profile": settings.profile.name,
        "space": profile.space,
        "kind": profile.kind,
        "intent": settings.intent,
        "black_point_compensation": settings.black_point_compensation,
        "size_px": [proof.size.height, proof.size.width],
        "out_of_gamut": proof.out_of_gamut,
        "mean_difference": proof.mean_difference,
        "largest_difference": proof.largest_difference,
    }
    write_json(arguments.record, record)
    say(f"{arguments.output}: {proof.out_of_gamut:.1%} cannot be printed with {settings.profile}")
