"""What leaves the pipeline, from a very large image: time and peak anonymous memory of each file.

    python tests/benchmarks/exports.py --side-px 16384 --folder FOLDER [--output FILE]

Writes a synthetic assembled image of that size (soft colours with grain, which compresses as badly as
brushwork) to FOLDER, and runs the commands on it that the workflow runs: prints as TIFF with a pyramid, PNG
and JPEG, 4 x 4 panels, and deep-zoom tiles. Memory is what no file stands behind (RssAnon), looked at ten
times a second; it should not grow with the image. FOLDER needs about 25 bytes a pixel.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from benching import Results, demo_input, parser, settle
from jaxtyping import Float32
from numpy import ndarray
from real_weights import real_weights

from pipeline import canvas
from pipeline.config.reading import parse
from pipeline.files import write_text
from pipeline.geometry import Size
from pipeline.plan import Plan
from pipeline.planning import resolve
from pipeline.provenance import LevelRecord
from pipeline.rendering.record import RenderingRecord

SAMPLE_S = 0.1
STRIP_PX = 256


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--side-px", type=int, default=16384)
    options.add_argument("--folder", type=Path, required=True, help="its disk must hold the files")
    arguments = options.parse_args()
    settle(arguments.threads)
    folder, size = arguments.folder.resolve(), Size(arguments.side_px, arguments.side_px)
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(f"files of {size} px ({size.area / 1e6:.0f} megapixels)", arguments.output)
    image = folder / "assembled.tif"
    started = time.perf_counter()
    canvas.write_rows(image, size, 3, _rows(size))
    results.say(f"the image: {_mib(image):.0f} MiB, made in {time.perf_counter() - started:.0f} s")
    results.say(f"{'':<24}{'seconds':>9}{'peak anonymous MiB':>20}{'MiB on disk':>13}")
    prints = _recorded(folder, "prints", size, {"format": ["tiff", "png", "jpeg"]})
    panels = _recorded(folder, "panels", size, {"panels": {"columns": 4, "rows": 4}})
    jobs: dict[str, list[str]] = {
        f"export-print {extension}": ["export-print", str(image), *prints, "--output", f"print.{extension}"]
        for extension in ("tif", "png", "jpg")
    }
    jobs["export-panels tif"] = ["export-panels", str(image), *panels, "--output", "panels"]
    jobs["export-deepzoom dzi"] = ["export-deepzoom", str(image), "--output", "deepzoom"]
    for name, words in jobs.items():
        made = folder / words[-1]
        if made.is_dir():
            shutil.rmtree(made)
        seconds, peak_mib = _run(["impasto", *words], folder)
        results.say(f"{name:<24}{seconds:>9.1f}{peak_mib:>20.0f}{_mib(made):>13.0f}")
    results.save()


def _rows(size: Size) -> Iterator[Float32[ndarray, "rows width 3"]]:
    generator = np.random.default_rng(1)
    columns = np.arange(size.width, dtype=np.float32)[None, :, None]
    phases = np.array([0.0, 2.0, 4.0], np.float32)
    for top in range(0, size.height, STRIP_PX):
        rows = np.arange(top, min(top + STRIP_PX, size.height), dtype=np.float32)[:, None, None]
        soft = 0.5 + 0.35 * np.sin(0.003 * (rows + 1.7 * columns) + phases)
        grain = generator.standard_normal(soft.shape, np.float32)
        yield soft + np.float32(0.06) * grain


def _recorded(folder: Path, name: str, size: Size, printed: dict[str, Any]) -> list[str]:
    """The options that tell a command of a print and of how it was made, with their files."""
    raw = {
        "content": str(demo_input("astronaut.png")),
        "style": str(demo_input("painted_fields.png")),
        "levels": [size.height],
        "print": printed,
    }
    config = parse({"compute": {"memory_budget_mib": 1 << 20}, "artworks": {name: raw}})
    plan = resolve(config, name, canvas.size_of)
    write_text(folder / f"{name}.json", plan.model_dump_json())
    write_text(folder / f"{name}-level.json", _level_record(plan).model_dump_json())
    words = ["--plan", f"{name}.json", "--records", f"{name}-level.json"]
    return [*words, "--weights", str(real_weights("vgg16"))]


def _level_record(plan: Plan) -> RenderingRecord:
    (level,) = plan.levels
    return RenderingRecord(
        level=LevelRecord(level.level_px, level.height, level.width, None, 0, 0, 1.0, 1.0, 0.0, 0.0),
        precision="float32",
        device={},
        versions={},
        ending="iterations",
        warnings=(),
        trace=(),
        row_borders=(),
        column_borders=(),
    )


def _run(words: list[str], folder: Path) -> tuple[float, float]:
    """How long a command takes, and its peak of anonymous memory in MiB."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    started, peak_mib = time.perf_counter(), 0.0
    with (folder / "commands.log").open("ab") as log:
        process = subprocess.Popen(words, cwd=folder, env=environment, stderr=log)
        while process.poll() is None:
            peak_mib = max(peak_mib, _anonymous_mib(process.pid))
            time.sleep(SAMPLE_S)
    if process.returncode != 0:
        sys.exit(f"{' '.join(words)}: see {log.name}")
    return time.perf_counter() - started, peak_mib


def _anonymous_mib(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def _mib(path: Path) -> float:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(file.stat().st_size for file in files) / 2**20


if __name__ == "__main__":
    main()
