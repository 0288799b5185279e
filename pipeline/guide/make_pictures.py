"""Makes the guide's pictures: renders controls.yaml and joins its results, one strip for each control.

Run `python pipeline/guide/make_pictures.py` in a checkout; it takes about a quarter of an hour on two cores.
`python pipeline/guide/make_pictures.py fast` makes those of fast.md instead, from `demo_feedforward`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline import canvas

GUIDE = Path(__file__).parent
RESULTS = Path("results/guide")
FAST_RESULTS = Path("results")
DEMO = Path("resources/demo")
HEIGHT_PX = 288
HORIZON = 0.55
"""Where the ground begins in painted_fields.png, as a share of its height."""

STRIPS: Mapping[str, tuple[str, ...]] = {
    "content-weight": ("content-5", "content-200", "content-2000"),
    "regions": ("one-style", "two-styles", "face-readable"),
    "several-styles": ("demo:painted_fields", "demo:painted_night", "weighted-styles"),
    "style-masks": ("demo:painted_fields", "one-style", "style-masks"),
    "guidance-form": ("two-styles", "means", "stacked"),
    "propagation": ("two-styles", "propagation-all", "propagation-inside", "propagation-inside-grown"),
    "colour-mode": (
        "colour-none",
        "colour-style-to-content",
        "colour-luminance",
        "colour-content-to-style",
        "colour-source",
    ),
    "colour-transform": (
        "colour-style-to-content",
        "transform-chol",
        "transform-sym",
        "transform-histogram",
    ),
    "colour-region": ("demo:astronaut", "two-styles", "colour-one-region"),
    "style-scale": ("scale-half", "content-5", "scale-double"),
    "mixing": ("demo:painted_night", "demo:ihc", "mixture", "coarse-only", "mixed"),
    "levels": ("high-at-once", "coarse-to-fine"),
    "layers": ("content-5", "fine-layers", "coarse-layers"),
    "normalised": ("content-5", "normalised"),
    "total-variation": ("content-5", "smooth"),
}
FAST_STRIPS: Mapping[str, tuple[str, ...]] = {
    "fast-portrait": ("demo:astronaut", "fast_portrait", "fast_portrait_swapped"),
    "fast-subjects": ("demo:coffee", "fast_coffee", "demo:chelsea", "fast_cat"),
}


def main() -> None:
    """Renders what is missing and writes every strip."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("which", nargs="?", choices=("controls", "fast"), default="controls")
    if parser.parse_args().which == "fast":
        subprocess.run(["snakemake", "--cores", "all", "demo_feedforward"], check=True)
        _join(FAST_STRIPS, FAST_RESULTS)
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    _write_masks()
    command = ["snakemake", "--cores", "all", "--configfile", str(GUIDE / "controls.yaml")]
    subprocess.run(command, check=True)
    _join(STRIPS, RESULTS)


def _join(strips: Mapping[str, tuple[str, ...]], results: Path) -> None:
    for name, panels in strips.items():
        files = [_file(panel, results) for panel in panels]
        canvas.join_pictures(files, GUIDE / "pictures" / f"{name}.jpg", HEIGHT_PX)
        sys.stdout.write(f"{name}: {', '.join(panels)}\n")


def _write_masks() -> None:
    """The sky and the ground of painted_fields.png, by its horizon."""
    for name, inside in (("sky", (0.0, HORIZON)), ("ground", (HORIZON, 1.0))):
        rows = (np.arange(256) + 0.5) / 256
        light = np.where((inside[0] <= rows) & (rows < inside[1]), 255, 0).astype(np.uint8)
        mask = RESULTS / f"{name}.png"
        if not mask.exists():
            canvas.write_png(mask, np.repeat(light[:, None], 256, axis=1))


def _file(panel: str, results: Path) -> Path:
    if panel == "mixture":
        (mixture,) = (results / "shared" / "mixed").glob("*.tif")
        return mixture
    if panel.startswith("demo:"):
        return DEMO / f"{panel.removeprefix('demo:')}.png"
    return results / panel / "preview.png"


if __name__ == "__main__":
    main()
