"""What the benchmarks share: the machine as commands set it up, real weights, pictures, results as text."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, final

import torch
from jaxtyping import Float
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from real_weights import cache_folder, real_weights

from pipeline import canvas, demo, weights
from pipeline.features import Encoder
from pipeline.files import write_text
from pipeline.geometry import Size
from pipeline.layers import VGG16, Layer
from pipeline.losses import ContentTerm, GramTerm, Loss
from pipeline.machine import Machine, prepare_machine, share_processors
from pipeline.provenance import device_facts
from pipeline.rasters import TensorRaster
from pipeline.targets import style_statistics


def parser(description: str | None) -> argparse.ArgumentParser:
    """What every benchmark can be told."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--output", type=Path)
    return made


def settle(threads: int, precision: str = "auto") -> Machine:
    """The CPU as the commands set it up: allocator, threads, and what OpenMP reads when it is loaded."""
    if "GOMP_SPINCOUNT" not in os.environ:
        share_processors()
        os.execv(sys.executable, [sys.executable, *sys.argv])
    if precision == "auto":
        return prepare_machine("cpu", "auto", threads)
    return prepare_machine("cpu", "bfloat16" if precision == "bfloat16" else "float32", threads)


@final
class Results:
    """Lines for people, shown as they come and kept as a dated text in the end."""

    def __init__(self, title: str, output: Path | None) -> None:
        facts = device_facts("cpu")
        self._output = output
        self._lines: list[str] = []
        self.say(f"{datetime.date.today().isoformat()}  {title}")
        self.say(f"{facts['name']}, {facts['threads']} threads, {', '.join(facts['instruction_sets'])}")
        self.say(f"torch {facts['torch']}, Python {platform.python_version()}; load {os.getloadavg()[0]:.1f}")
        self.say("")

    def say(self, line: str) -> None:
        """One more line."""
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        self._lines.append(line)

    def save(self) -> None:
        """Writes the file, if there is to be one."""
        if self._output is not None:
            write_text(self._output, "\n".join(self._lines) + "\n")


@final
@dataclass(frozen=True, slots=True)
class Clock:
    """Wall time, and the processor's: the latter is nearly free of other work on the machine."""

    wall_s: float
    processor_s: float

    @classmethod
    def now(cls) -> Self:
        """The time since some moment."""
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other: Clock) -> Clock:
        return Clock(self.wall_s - other.wall_s, self.processor_s - other.processor_s)


def median(clocks: Sequence[Clock]) -> Clock:
    """The median of each."""
    return Clock(
        statistics.median(clock.wall_s for clock in clocks),
        statistics.median(clock.processor_s for clock in clocks),
    )


def real_encoder(dtype: torch.dtype) -> Encoder:
    """The trained VGG-16, fetched once a machine."""
    file = weights.load(real_weights("vgg16"))
    return Encoder(file.tensors, VGG16, file.preprocessing, dtype=dtype)


def demo_input(name: str) -> Path:
    """One of the demo's pictures, made once a machine."""
    path = cache_folder() / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        demo.make(name, path)
    return path


def picture(name: str, size: Size) -> Float[Tensor, "3 height width"]:
    """One of the demo's pictures at this size."""
    with tempfile.TemporaryDirectory() as folder:
        resized = Path(folder) / "resized.tif"
        canvas.resize(demo_input(name), resized, size)
        return torch.from_numpy(canvas.read(resized).copy()).permute(2, 0, 1).contiguous()


def style_loss(encoder: Encoder, style: Tensor, styles: Iterable[Layer], contents: Iterable[Layer]) -> Loss:
    """The default loss of one style everywhere: 1e3 / N^2 a layer, content 1."""
    layers = list(styles)
    raster = TensorRaster(style)
    targets = style_statistics(encoder, raster, None, layers, tile_px=512)
    terms = [GramTerm(layer, None, 1e3 / layer.channels**2, targets[layer.name].gram) for layer in layers]
    return Loss((*(ContentTerm(layer) for layer in contents), *terms))


def anonymous_mib() -> float:
    """Memory of this process that no file stands behind, now."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) / 1024
