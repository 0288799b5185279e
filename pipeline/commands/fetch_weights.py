"""`impasto fetch-weights`: one model file, fetched, checked and converted."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from pipeline.console import say
from pipeline.errors import InputError
from pipeline.fetching.sources import LocalPath, Source, Url
from pipeline.weights import REGISTRY, describe, fetch, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("name", help=f"one of {', '.join(REGISTRY)}")
    parser.add_argument("--output", type=Path, required=True, help="the safetensors file, {name}.safetensors")
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--path", type=Path, help="take the file from this path instead of the registry's places"
    )
    place.add_argument("--url", help="take the file from this address; needs --sha256")
    parser.add_argument("--sha256", type=_sha256, help="the file's hash, checked before it is used")


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    describe(arguments.name)
    if arguments.output.name != f"{arguments.name}.safetensors":
        raise InputError(
            arguments.output, expected=f"a file named {arguments.name}.safetensors", found="another"
        )
    source: Source | None = None
    sha256 = arguments.sha256 or ""
    if arguments.path is not None:
        source = LocalPath(arguments.path, sha256)
    elif arguments.url is not None:
        source = Url(arguments.url, sha256)
    elif sha256:
        raise InputError("--sha256", expected="--path or --url beside it", found="neither")
    path = fetch(arguments.name, arguments.output.parent, source, progress=say)
    weights = load(path)
    licence = weights.metadata["licence"]
    say(f"{path}: {len(weights.tensors)} tensors, sha256 {weights.tensors_sha256}, {licence}")


def _sha256(text: str) -> str:
    if re.fullmatch("[0-9a-fA-F]{64}", text) is None:
        raise argparse.ArgumentTypeError(f"expected 64 hexadecimal digits; found {text!r}")
    return text.lower()
