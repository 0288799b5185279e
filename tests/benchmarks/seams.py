"""Whether tiles show: a demo artwork's top level cut by the workflow, and the control that must fail.

    python tests/benchmarks/seams.py --folder FOLDER [--level-px 384] [--iterations 8]
        [--memory-budget-mib 900] [--output FILE]

Runs the workflow in FOLDER on the demo's coffee with a memory budget that makes it cut the top level, and
tells what its quality.json says of the borders: the gradient across them against that beside them. The goal
is a ratio within 1 +- 0.02, or within what chance does, twice the standard error, over at least 1,000
samples. The negative control starts from the same lower level and renders each core by itself for as many
iterations: Gram matrices of its own, no halo. It must miss the goal. The trained VGG-16; a larger level has
more samples and less chance.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
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
from pipeline.layers import CONTENT_LAYERS, STYLE_LAYERS, VGG16
from pipeline.machine import Machine
from pipeline.objective import WholeObjective
from pipeline.optimiser import Lbfgs, minimise
from pipeline.pyramid import STRIDE_PX
from pipeline.quality.seams import LEAST_SAMPLES, Seams, seams
from pipeline.rasters import TensorRaster

REPOSITORY = Path(__file__).resolve().parents[2]
CONTENT, STYLE = "coffee.png", "painted_fields.png"
LOWEST_ITERATIONS = 20
GOAL = 0.02


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
    found, lower = _by_the_workflow(folder, arguments.level_px, arguments.iterations, arguments)
    core_px = found.core_px
    alone = _each_by_itself(lower, arguments.level_px, core_px, arguments.iterations, machine)
    results.say(f"tiles of {core_px} px; the goal is 1 within {GOAL} or within chance")
    results.say(f"{'':<24}{'ratio':>8}{'std error':>12}{'samples':>10}{'beyond chance':>16}")
    for name, joints in (("the workflow's tiles", found), ("each tile by itself", alone)):
        results.say(
            f"{name:<24}{joints.ratio:>8.4f}{joints.standard_error:>12.4f}{joints.samples:>10}"
            f"{joints.excess:>16.4f}"
        )
    results.save()
    if not _holds(found) or _holds(alone):
        sys.exit("the goal is missed" if not _holds(found) else "the negative control is not caught")


def _holds(found: Seams) -> bool:
    near = abs(found.ratio - 1) <= max(GOAL, 2 * found.standard_error)
    return near and found.samples >= LEAST_SAMPLES


def _by_the_workflow(folder: Path, level_px: int, iterations: int, arguments: Any) -> tuple[Seams, Path]:
    """What is said of the top level's borders, and the level below."""
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
            names = ("core_px", "samples", "ratio", "standard_error")
            return Seams(*(entry[name] for name in names)), artwork / "levels" / f"{level_px // 2}"
    sys.exit("the top level was not cut: lower --memory-budget-mib")


def _each_by_itself(lower: Path, level_px: int, core_px: int, iterations: int, machine: Machine) -> Seams:
    """The same of tiles that know nothing of each other."""
    content_size = canvas.size_of(demo_input(CONTENT)).of_area(level_px)
    # Sides that pooling divides, so that no core needs padding.
    size = Size(*(side // STRIDE_PX * STRIDE_PX for side in (content_size.height, content_size.width)))
    encoder = real_encoder(machine.dtype)
    content, start = picture(CONTENT, size), _enlarged(lower / "stylised.tif", size)
    style = picture(STYLE, canvas.size_of(demo_input(STYLE)).of_area(level_px).aligned_up(STRIDE_PX))
    contents = [VGG16.layer(name) for name in CONTENT_LAYERS]
    loss = style_loss(encoder, style, [VGG16.layer(name) for name in STYLE_LAYERS], contents)
    alone = torch.empty_like(start)
    for top in range(0, size.height, core_px):
        for left in range(0, size.width, core_px):
            core = Box(top, left, min(top + core_px, size.height), min(left + core_px, size.width))
            where = (slice(None), *core.slices)
            raster = TensorRaster(content[where].contiguous())
            objective = WholeObjective(encoder, loss, core.size, content=raster)
            alone[where] = minimise(objective, start[where].contiguous(), Lbfgs(iterations)).image
    values = alone.permute(1, 2, 0).numpy()
    found = seams(lambda box: values[box.slices], size, core_px)
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
