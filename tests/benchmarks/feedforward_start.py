"""What a feed-forward start saves: time to a loss from the content image, and from what a network paints.

    python tests/benchmarks/feedforward_start.py NETWORK [--level-px 256] [--iterations 60] --folder FOLDER
        [--output FILE]

NETWORK is the demo's, `results/shared/networks/fields-and-night-*.safetensors` after
`snakemake --cores all demo_feedforward`. The workflow renders the demo's astronaut twice in FOLDER, in two
regions that meet in a soft border, with the demo's settings; the losses and times are those of its records.
Painting and the loading of the network are counted in; starting processes is not, which both do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from benching import Results, demo_input, parser, settle
from real_weights import real_weights

from pipeline.canvas import write_png
from pipeline.feedforward.record import read_painting
from pipeline.files import write_text
from pipeline.rendering.record import RenderingRecord, TracePoint, read_record

REPOSITORY = Path(__file__).resolve().parents[2]
STARTS = ("content", "feedforward")
STYLES = {name: f"painted_{name}.png" for name in ("fields", "night")}


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("network", type=Path)
    options.add_argument("--level-px", type=int, default=256, help="square root of the area")
    options.add_argument("--iterations", type=int, default=60)
    options.add_argument("--folder", type=Path, required=True)
    arguments = options.parse_args()
    settle(arguments.threads)
    folder = arguments.folder.resolve()
    _write_masks(folder)
    settings = _config(arguments.network.resolve(), arguments.level_px, arguments.iterations)
    settings["compute"] = {"device": "cpu", "threads": arguments.threads}
    write_text(folder / "config.yaml", yaml.safe_dump(settings, sort_keys=False))
    levels = [Path("results", start, "levels", str(arguments.level_px)) for start in STARTS]
    command = ["snakemake", *(str(level / "stylised.tif") for level in levels)]
    command += ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", str(arguments.threads), "--configfile", str(folder / "config.yaml")]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(command, cwd=folder, env=environment, check=True)
    plain, started = (read_record(folder / level / "stylised.json") for level in levels)
    painting_s = read_painting(folder / levels[1] / "painted.json").application.seconds
    _tell(plain, started, painting_s, Results(f"a feed-forward start, {levels[0].name} px", arguments.output))


def _tell(plain: RenderingRecord, started: RenderingRecord, painting_s: float, results: Results) -> None:
    """When each loss on the way from the content was reached from the network's image."""
    results.say(
        f"painting: {painting_s:.1f} s; the content's loss: {plain.trace[0].loss:.4g}, that of the network's "
        f"image: {started.trace[0].loss:.4g}"
    )
    results.say(f"{'loss':>10}{'from the content':>20}{'from the network':>20}{'times as fast':>15}")
    last = len(plain.trace) - 1
    for iteration in sorted({max(1, last // share) for share in (8, 4, 2, 1)}):
        goal = plain.trace[iteration]
        reached = next((point for point in started.trace if point.loss <= goal.loss), None)
        content_s = _seconds(plain, goal)
        line = f"{goal.loss:>10.4g}{f'{goal.iteration} its, {content_s:.1f} s':>20}"
        if reached is None:
            results.say(f"{line}{'not reached':>20}")
            continue
        network_s = _seconds(started, reached) + painting_s
        its = f"{reached.iteration} its, {network_s:.1f} s"
        results.say(f"{line}{its:>20}{content_s / network_s:>15.2f}")
    results.save()


def _seconds(record: RenderingRecord, point: TracePoint) -> float:
    """When a rendering was at this point; every pass takes about as long."""
    return record.level.seconds * point.passes / record.level.passes


def _write_masks(folder: Path) -> None:
    ramp = np.rint(255 * np.clip(np.linspace(-1.5, 2.5, 256), 0, 1)).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for name, mask in (("right", ramp), ("left", 255 - ramp)):
        write_png(folder / f"{name}.png", np.repeat(mask[None, :, None], 256, axis=0))


def _config(network: Path, level_px: int, iterations: int) -> dict[str, Any]:
    styles = {name: str(demo_input(file)) for name, file in STYLES.items()}
    artwork = {
        "content": str(demo_input("astronaut.png")),
        "levels": [level_px],
        "iterations": [iterations],
        "content_weight": 5,
        "feedforward": {"network": "demo"},
        "regions": [
            {"where": f"{mask}.png", "style": style}
            for mask, style in zip(("left", "right"), styles.values(), strict=True)
        ],
    }
    return {
        "weights": {"vgg16": {"path": str(real_weights("vgg16"))}},
        "networks": {"demo": {"styles": styles, "file": str(network)}},
        "artworks": {start: {**artwork, "start": start} for start in STARTS},
    }


if __name__ == "__main__":
    main()
