"""Very large images through the whole chain: time of each stage, peak anonymous memory, disk.

    python tests/benchmarks/gigapixel.py --side-px 16384 --iterations 2 --folder FOLDER [--output FILE]
    python tests/benchmarks/gigapixel.py --side-px 32768 --iterations 1 --folder FOLDER [--output FILE]

Writes a photograph of that size (the demo's astronaut, enlarged), soft masks of two regions and a
configuration to FOLDER, and runs the workflow there on two cores: every stage from `prepare` to the report.
Layers: style relu1_1 and relu2_1, content relu2_2, whose features are computed anew in each pass. The two
styles are the demo's paintings at 4096 px at most. Lower levels, each half as large, take few iterations.

Start it again with the same words after an interruption: the workflow goes on, and what was measured before
is added to. A stage's time is that in which its command ran; its processor's time says what a machine takes
whose cores are all there. Memory is what no file stands behind (RssAnon),
of the largest process of a stage; disk is what lies in FOLDER/results at most, looked at every few seconds.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import yaml
from benching import Results, demo_input, parser, settle

from pipeline.canvas import write_png
from pipeline.commands.listing import COMMANDS
from pipeline.files import atomic_path, write_json, write_text

REPOSITORY = Path(__file__).resolve().parents[2]
LOWEST_PX, FEW = 1024, 4096
STYLE_PX = 4096
SAMPLE_S, DISK_S = 0.5, 10.0


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--side-px", type=int, required=True)
    options.add_argument("--iterations", type=int, default=1, help="at the top level")
    options.add_argument("--folder", type=Path, required=True, help="its disk must hold the run")
    arguments = options.parse_args()
    settle(arguments.threads)
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    side_px = arguments.side_px
    _write_inputs(folder, side_px)
    config = _config(side_px, arguments.iterations, arguments.threads)
    write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    results = Results(f"the whole chain at {side_px}x{side_px} px", arguments.output)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    plan = subprocess.run(["impasto", "plan"], cwd=folder, env=environment, check=True, capture_output=True)
    for line in plan.stdout.decode().rstrip().splitlines():
        results.say(line)
    results.say("")
    command = ["snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", str(arguments.threads), "--configfile", str(folder / "config.yaml")]
    with (folder / "snakemake.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        measured = _watch(process, folder)
    if process.returncode != 0:
        results.say(f"the workflow ended with {process.returncode}: see {folder / 'snakemake.log'}")
        sys.exit(process.returncode)
    results.say(f"{'stage':<16}{'seconds':>10}{'processor s':>14}{'peak anonymous MiB':>20}")
    stages = [verb for verb in COMMANDS if verb in measured["stages"]]
    for verb in stages:
        stage = measured["stages"][verb]
        results.say(
            f"{verb:<16}{stage['seconds']:>10.0f}{stage['processor_s']:>14.0f}{stage['peak_mib']:>20.0f}"
        )
    total_s, processor_s = (
        sum(measured["stages"][verb][key] for verb in stages) for key in ("seconds", "processor_s")
    )
    peak_mib = max((measured["stages"][verb]["peak_mib"] for verb in stages), default=0.0)
    results.say(f"{'together':<16}{total_s:>10.0f}{processor_s:>14.0f}{peak_mib:>20.0f}")
    results.say(f"disk: {measured['disk_gib']:.1f} GiB at most")
    for record in sorted((folder / "results" / "large" / "levels").glob("*/*.json"), key=_level_of):
        level = json.loads(record.read_text(encoding="utf-8"))["level"]
        megapixels = level["height_px"] * level["width_px"] / 1e6
        pace = level["seconds"] / megapixels / max(1, level["passes"] / 2)
        results.say(
            f"level {level['level_px']}: {level['iterations']} iterations, {level['passes']} passes, "
            f"{level['seconds']:.0f} s, {pace:.2f} s per megapixel-evaluation, tiles {level['tile_px']} px"
        )
    results.save()


def _level_of(record: Path) -> int:
    return int(record.parent.name)


def _write_inputs(folder: Path, side_px: int) -> None:
    """The photograph, the masks and the styles, unless they are there."""
    inputs = folder / "inputs"
    photograph = inputs / "photograph.tif"
    if not photograph.exists():
        small = pyvips.Image.new_from_file(str(demo_input("astronaut.png")))
        with atomic_path(photograph) as partial:
            small.resize(side_px / small.width, vscale=side_px / small.height, kernel="cubic").tiffsave(
                str(partial), tile=True, tile_width=256, tile_height=256, compression="deflate", bigtiff=True
            )
    for name in ("painted_fields.png", "painted_night.png"):
        if not (inputs / name).exists():
            write_text(inputs / "README", "Made by tests/benchmarks/gigapixel.py; may be deleted.\n")
            (inputs / name).symlink_to(demo_input(name))
    ramp = np.clip(np.linspace(-1.5, 2.5, 256), 0, 1)
    left = np.rint(255 * np.tile(1 - ramp, (256, 1))).astype(np.uint8)
    for name, mask in (("left.png", left), ("right.png", 255 - left)):
        write_png(inputs / name, mask)


def _config(side_px: int, iterations: int, threads: int) -> dict[str, Any]:
    levels: list[dict[str, int]] = []
    px = side_px
    while px >= LOWEST_PX or not levels:
        few = iterations if px == side_px else 1 if px >= FEW else 10
        levels.insert(0, {"px": px, "iterations": few})
        px //= 2
    scale = max(0.1, min(1.0, STYLE_PX / side_px))
    return {
        "title": f"{side_px} px",
        "compute": {"device": "cpu", "threads": threads},
        "artworks": {
            "large": {
                "content": "inputs/photograph.tif",
                "levels": levels,
                "regions": [
                    {"where": f"inputs/{mask}.png", "style": {"image": f"inputs/{style}.png", "scale": scale}}
                    for mask, style in (("left", "painted_fields"), ("right", "painted_night"))
                ],
                # One evaluation and a step; with more iterations each is checked.
                "optimiser": {"check_last_step": iterations > 1},
                "network": {"style_layers": ["relu1_1", "relu2_1"], "content_layers": ["relu2_2"]},
            }
        },
    }


def _watch(process: subprocess.Popen[bytes], folder: Path) -> dict[str, Any]:
    """What every stage takes until the workflow ends, added to what earlier runs took."""
    file = folder / "measured.json"
    found: dict[str, Any] = {"stages": {}, "disk_gib": 0.0}
    if file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))
    last, disk_at = time.monotonic(), 0.0
    used: dict[int, float] = {}
    while process.poll() is None:
        time.sleep(SAMPLE_S)
        now = time.monotonic()
        running: dict[str, float] = {}
        spent: defaultdict[str, float] = defaultdict(float)
        for pid in _descendants(process.pid):
            verb, mib, processor_s = _stage(pid)
            if verb:
                running[verb] = max(running.get(verb, 0.0), mib)
                # Numbers of processes come round again.
                spent[verb] += processor_s - (used[pid] if used.get(pid, math.inf) <= processor_s else 0.0)
                used[pid] = processor_s
        for verb, mib in running.items():
            stage = found["stages"].setdefault(verb, {"seconds": 0.0, "processor_s": 0.0, "peak_mib": 0.0})
            stage["processor_s"] += spent[verb]
            stage["seconds"] += now - last
            stage["peak_mib"] = max(stage["peak_mib"], mib)
        last = now
        if now - disk_at > DISK_S:
            disk_at = now
            found["disk_gib"] = max(found["disk_gib"], _disk_gib(folder / "results"))
            write_json(file, found)
    write_json(file, found)
    return found


def _descendants(pid: int) -> Iterator[int]:
    # A child is listed with the thread that started it.
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = file.read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from _descendants(child)


def _stage(pid: int) -> tuple[str, float, float]:
    """A process's command, empty if it is none of ours; its anonymous MiB and processor seconds."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        # The name in parentheses may hold spaces; user and system time are the 12th and 13th words after it.
        ticks = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    except OSError:
        return "", 0.0, 0.0
    names = [Path(word).name for word in words[:2]]
    anonymous = re.search(r"RssAnon:\s+(\d+) kB", status)
    if "impasto" not in names or anonymous is None:
        return "", 0.0, 0.0
    processor_s = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return next((word for word in words if word in COMMANDS), ""), int(anonymous[1]) / 1024, processor_s


def _disk_gib(folder: Path) -> float:
    """What the files of a folder take on the disk, holes in them left out."""
    found = 0
    for path in folder.rglob("*"):
        try:
            found += path.lstat().st_blocks * 512
        except OSError:
            continue
    return found / 2**30


if __name__ == "__main__":
    main()
