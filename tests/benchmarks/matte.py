"""How near the full-size matte comes to hair of known alpha, beside bicubic upsampling; time and memory.

    python tests/benchmarks/matte.py [--sides-px 1024 2048 4096] [--megapixels 64 256] [--output FILE]

Portraits of known alpha (tests/composites.py); the coarse mask is their alpha at 256 px, blurred and with its
edge moved. Errors are means of absolute differences over the whole image, and over the band where the
upsampled coarse mask is between 0.02 and 0.98. Seconds are those of `write_matte`, reading and writing
included, with a mask of 1024 px, the most that is used; peak memory is that of a process that does nothing
else.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from numpy import ndarray

sys.path.insert(0, str(Path(__file__).parents[1]))

from composites import Background, averaged, bicubic, coarse, portrait

from pipeline import canvas
from pipeline.files import write_text
from pipeline.geometry import Size

_MEASURED = """
import re, sys, time
from pathlib import Path
import numpy as np
from pipeline import canvas
started = time.perf_counter()
canvas.write_matte(np.load(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
seconds = time.perf_counter() - started
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(seconds, int(peak) / 1024)
"""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sides-px", type=int, nargs="*", default=[1024, 2048, 4096])
    parser.add_argument("--megapixels", type=int, nargs="*", default=[64, 256])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    lines = [
        f"{datetime.date.today().isoformat()}  full-size mattes from masks of 256 px",
        f"numpy {np.__version__}, Python {platform.python_version()}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for part in (_errors(arguments.sides_px, Path(folder)), _costs(arguments.megapixels, Path(folder))):
            for line in part:
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
                lines.append(line)
    if arguments.output is not None:
        write_text(arguments.output, "\n".join(lines) + "\n")


def _errors(sides_px: Sequence[int], folder: Path) -> Iterator[str]:
    if not sides_px:
        return
    yield ""
    yield (
        f"{'background':<12}{'side, px':>9}{'bicubic':>10}{'matte':>10}{'ratio':>7}"
        f"{'band: bicubic':>15}{'matte':>9}{'ratio':>7}"
    )
    for seed, background in enumerate(get_args(Background)):
        largest = portrait(max(sides_px), background, seed)
        probability = coarse(largest.alpha, seed)
        for side_px in sorted(sides_px):
            image, alpha = (averaged(array, side_px) for array in largest)
            found = _matte(folder, probability, image)
            upsampled = bicubic(probability, side_px)
            band = (upsampled > 0.02) & (upsampled < 0.98)
            error, before = np.abs(found - alpha), np.abs(upsampled - alpha)
            whole, within = error.mean() / before.mean(), error[band].mean() / before[band].mean()
            yield (
                f"{background:<12}{side_px:>9}{before.mean():>10.4f}{error.mean():>10.4f}{whole:>7.2f}"
                f"{before[band].mean():>15.3f}{error[band].mean():>9.3f}{within:>7.2f}"
            )


def _matte(folder: Path, probability: ndarray, image: ndarray) -> ndarray:
    canvas.write(folder / "portrait.tif", image)
    canvas.prepare(folder / "portrait.tif", folder / "prepared.tif")
    canvas.write_matte(probability, folder / "prepared.tif", folder / "matte.tif")
    return np.asarray(canvas.read(folder / "matte.tif")[..., 0])


def _costs(megapixels: Sequence[int], folder: Path) -> Iterator[str]:
    if not megapixels:
        return
    yield ""
    yield f"{'megapixels':<12}{'size, px':>14}{'seconds':>9}{'s per megapixel':>17}{'peak, MiB':>11}"
    small = portrait(1024, "busy", 0)
    np.save(folder / "coarse.npy", bicubic(coarse(small.alpha, 0), 1024))
    canvas.write(folder / "portrait.tif", small.image)
    for count in megapixels:
        side_px = round((count * 1e6) ** 0.5)
        size = Size(side_px, side_px)
        canvas.resize(folder / "portrait.tif", folder / "enlarged.tif", size, "linear")
        canvas.prepare(folder / "enlarged.tif", folder / "prepared.tif")
        (folder / "enlarged.tif").unlink()
        files = [str(folder / name) for name in ("coarse.npy", "prepared.tif", "matte.tif")]
        command = [sys.executable, "-c", _MEASURED, *files]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, peak_mib = map(float, answer.split())
        yield f"{count:<12}{size!s:>14}{seconds:>9.1f}{seconds / count:>17.3f}{peak_mib:>11.0f}"


if __name__ == "__main__":
    main()
