"""Whether tiles show: a demo artwork's top level cut by the workflow, and the control that must fail.

    python tests/benchmarks/seams.py --folder FOLDER [--level-px 384] [--iterations 8]
        [--memory-budget-mib 900] [--output FILE]

Runs the workflow in FOLDER on the demo's coffee with a memory budget that makes it cut the top level, and
tells what its quality.json says of the borders: the gradient across them against that beside them. It must be
1 within what chance does, twice the standard error, over at least 1,000 samples. Small levels leave much to
chance, so the level is rendered three times more from the same lower one: whole, by exact tiles, and each
tile by itself, with Gram matrices of its own and no halo. At the same places exact tiles may differ from the
whole image by 0.02 at most, and tiles by themselves, the negative control, must differ by more. The trained
VGG-16.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from benching import Results, demo_input, parser, picture, real_encoder, settle, style_loss
from jaxtyping import Float
from real_weights import real_weights
from torch import Tensor

from pipeline import canvas
from pipeline.files import write_text
from pipeline.geometry import Box, Size
from pipeline.layers import CONTENT_LAYERS, STRIDE_PX, STYLE_LAYERS, VGG16
from pipeline.machine import Machine
from pipeline.objective import TiledObjective, WholeObjective
from pipeline.optimiser import Lbfgs, minimise
from pipeline.quality.seams import LEAST_SAMPLES, Seams, seams
from pipeline.rasters import TensorRaster

REPOSITORY = Path(__file__).resolve().parents[2]
CONTENT, STYLE = "coffee.png", "painted_fields.png"
LOWEST_ITERATIONS = 20
GOAL = 0.02
WAYS = ("whole", "exact tiles", "each tile by itself")


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--folder", type=Path, required=True)
    options.add_argument("--level-px", type=int, default=384)
    options.add_argument("--iterations", type=int, default=8, help="at the top level")
    options.add_argument("--memory-budget-mib", type=int, default=900)
    arguments = options.parse_args()
    machine = settle(arguments.threads)
    folder = arguments.folder.resolve()
    results = Results(f"seams of tiles, level {arguments.level_px}, {machine.precision}", arguments.output)
    found, tile_px, lower = _by_the_workflow(folder, arguments.level_px, arguments.iterations, arguments)
    again = _three_ways(lower, arguments.level_px, tile_px, arguments.iterations, machine)
    results.say(f"tiles of {tile_px} px")
    results.say(f"{'':<24}{'ratio':>8}{'std error':>12}{'samples':>10}{'beyond chance':>16}")
    for name, joints in {"the workflow's tiles": found, **again}.items():
        results.say(
            f"{name:<24}{joints.ratio:>8.4f}{joints.standard_error:>12.4f}{joints.samples:>10}"
            f"{joints.excess:>16.4f}"
        )
    whole, exact, alone = (again[name].ratio for name in WAYS)
    results.say(f"from the whole image: exact tiles {exact - whole:+.4f}, by themselves {alone - whole:+.4f}")
    results.save()
    if found.excess > 0 or found.samples < LEAST_SAMPLES or abs(exact - whole) > GOAL:
        sys.exit("the goal is missed")
    if abs(alone - whole) <= GOAL:
        sys.exit("the negative control is not caught")


def _by_the_workflow(folder: Path, level_px: int, iterations: int, arguments: Any) -> tuple[Seams, int, Path]:
    """What is said of the top level's borders, the side of its tiles, and the level below."""
    config = {
        "title": "Seams",
        "compute": {
            "device": "cpu",
            "threads": arguments.threads,
            "memory_budget_mib": arguments.memory_budget_mib,
        },
        "report": {"viewer": "none"},
        "weights": {"vgg16": {"path": str(real_weights("vgg16"))}},
        "artworks": {
            "coffee": {
                "content": str(demo_input(CONTENT)),
                "style": str(demo_input(STYLE)),
                "levels": [level_px // 2, level_px],
                "iterations": [LOWEST_ITERATIONS, iterations],
            }
        },
    }
    write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    command = ["snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", str(arguments.threads), "--configfile", str(folder / "config.yaml"), "--quiet"]
    command += ["--", "results/coffee/quality.json"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(command, cwd=folder, env=environment, check=True)
    artwork = folder / "results" / "coffee"
    told = json.loads((artwork / "quality.json").read_text(encoding="utf-8"))["seams"]
    for entry in told:
        if entry["level_px"] == level_px:
            names = ("samples", "ratio", "standard_error")
            record = json.loads((artwork / f"levels/{level_px}/refined.json").read_text(encoding="utf-8"))
            found = Seams(*(entry[name] for name in names))
            return found, record["level"]["tile_px"], artwork / "levels" / f"{level_px // 2}"
    sys.exit("the top level was not cut: lower --memory-budget-mib")


def _three_ways(
    lower: Path, level_px: int, tile_px: int, iterations: int, machine: Machine
) -> dict[str, Seams]:
    """The same of a level that is rendered in each of `WAYS`."""
    content_size = canvas.size_of(demo_input(CONTENT)).of_area(level_px)
    # Sides that pooling divides, so that no core needs padding.
    size = Size(*(side // STRIDE_PX * STRIDE_PX for side in (content_size.height, content_size.width)))
    encoder = real_encoder(machine.dtype)
    content, start = picture(CONTENT, size), _enlarged(lower / "stylised.tif", size)
    style = picture(STYLE, canvas.size_of(demo_input(STYLE)).of_area(level_px).aligned_up(STRIDE_PX))
    contents = [VGG16.layer(name) for name in CONTENT_LAYERS]
    loss = style_loss(encoder, style, [VGG16.layer(name) for name in STYLE_LAYERS], contents)
    raster = TensorRaster(content)
    whole = WholeObjective(encoder, loss, size, content=raster)
    tiled = TiledObjective(encoder, loss, size, tile_px=tile_px, content=raster)
    alone = torch.empty_like(start)
    cores = [tile.core for tile in tiled.tiles]
    for core in cores:
        where = (slice(None), *core.slices)
        part = TensorRaster(content[where].contiguous())
        own = WholeObjective(encoder, loss, core.size, content=part)
        alone[where] = minimise(own, start[where].contiguous(), Lbfgs(iterations)).image
    images = [minimise(objective, start, Lbfgs(iterations)).image for objective in (whole, tiled)]
    return {name: _seams(image, cores) for name, image in zip(WAYS, (*images, alone), strict=True)}


def _seams(image: Float[Tensor, "3 height width"], cores: Sequence[Box]) -> Seams:
    values = image.permute(1, 2, 0).numpy()
    rows, columns = sorted({core.top for core in cores} - {0}), sorted({core.left for core in cores} - {0})
    found = seams(lambda box: values[box.slices], Size(*values.shape[:2]), rows, columns)
    if found is None:
        sys.exit("no border can be judged: raise --level-px")
    return found


def _enlarged(path: Path, size: Size) -> Float[Tensor, "3 height width"]:
    with tempfile.TemporaryDirectory() as folder:
        enlarged = Path(folder) / "enlarged.tif"
        canvas.resize(path, enlarged, size)
        return torch.from_numpy(canvas.read(enlarged).copy()).permute(2, 0, 1).contiguous()


if __name__ == "__main__":
    main()
