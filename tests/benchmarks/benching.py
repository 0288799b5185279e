"""What the benchmarks share: the machine as commands set it up, networks, pictures, results as text."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, final

import torch
from jaxtyping import Float
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from networks import OxfordFormat, make_image, make_random_weights
from real_weights import cache_folder, real_weights

from pipeline import canvas, demo, weights
from pipeline.features import Encoder
from pipeline.files import write_text
from pipeline.geometry import Box, Size
from pipeline.layers import CONTENT_LAYERS, STYLE_LAYERS, VGG16, Layer
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


def settle(threads: int, precision: str = "auto", device: Literal["auto", "cpu", "cuda"] = "cpu") -> Machine:
    """The machine as the commands set it up: allocator, threads, and what OpenMP reads when it is loaded."""
    if "GOMP_SPINCOUNT" not in os.environ:
        share_processors()
        os.execv(sys.executable, [sys.executable, *sys.argv])
    if precision == "auto":
        return prepare_machine(device, "auto", threads)
    return prepare_machine(device, "bfloat16" if precision == "bfloat16" else "float32", threads)


@final
class Results:
    """Lines for people, shown as they come and kept as a dated text in the end.

    Args:
        title: What is measured.
        output: The text, if there is to be one.
        device: What computes, if it is no CPU.
    """

    def __init__(self, title: str, output: Path | None, device: str = "cpu") -> None:
        facts = device_facts("cpu")
        self._output = output
        self._lines: list[str] = []
        self.say(f"{datetime.date.today().isoformat()}  {title}")
        if torch.device(device).type == "cuda":
            found = device_facts(device)
            capability, cuda, cudnn = (found[key] for key in ("compute_capability", "cuda", "cudnn"))
            self.say(f"{found['name']}, compute capability {capability}, CUDA {cuda}, cuDNN {cudnn}")
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


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of some work, from when the device has done all that it was given before until it rests."""
    _rest(device)
    started = time.perf_counter()
    work()
    _rest(device)
    return time.perf_counter() - started


def _rest(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


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


def seeded_encoder(dtype: torch.dtype, device: torch.device) -> Encoder:
    """VGG-16 with seeded random weights: their values do not change the work."""
    weights = make_random_weights(VGG16, seed=0, dtype=torch.float32)
    return Encoder(weights, VGG16, OxfordFormat(), dtype=dtype, device=device)


def default_loss(encoder: Encoder, regions: int = 0) -> Loss:
    """The default layers' loss for a seeded style, guided by so many regions or by none."""
    style = make_image(256, 256, seed=1, dtype=torch.float32).to(encoder.device)
    contents = [VGG16.layer(name) for name in CONTENT_LAYERS]
    return style_loss(encoder, style, [VGG16.layer(name) for name in STYLE_LAYERS], contents, regions)


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


def style_loss(
    encoder: Encoder, style: Tensor, styles: Iterable[Layer], contents: Iterable[Layer], regions: int = 0
) -> Loss:
    """The default loss of one style everywhere, or in so many regions: 1e3 / N^2 a layer, content 1."""
    layers = list(styles)
    raster = TensorRaster(style)
    targets = style_statistics(encoder, raster, None, layers, tile_px=512)
    terms = [
        GramTerm(layer, region, 1e3 / layer.channels**2 / max(1, regions), targets[layer.name].gram)
        for layer in layers
        for region in range(regions) or (None,)
    ]
    return Loss((*(ContentTerm(layer) for layer in contents), *terms))


@final
class Waves:
    """An image, or a region's channel and the rest, that is computed where it is read.

    Args:
        size: Height and width.
        frequency: In radians per pixel.
        device: Where it is computed.
        channels: Three alike, or two that add up to one.
    """

    def __init__(
        self, size: Size, frequency: float, device: torch.device, channels: Literal[2, 3] = 3
    ) -> None:
        self.size = size
        self._frequency = frequency
        self._device = device
        self._channels = channels

    def read(self, box: Box) -> Float[Tensor, "channels height width"]:
        """The values inside `box`."""
        rows = torch.arange(box.top, box.bottom, device=self._device).view(1, -1, 1)
        columns = torch.arange(box.left, box.right, device=self._device).view(1, 1, -1)
        wave = 0.5 + 0.5 * torch.sin(self._frequency * (rows + 1.7 * columns))
        return wave.repeat(3, 1, 1) if self._channels == 3 else torch.cat([wave, 1 - wave])


def anonymous_mib() -> float:
    """Memory of this process that no file stands behind, now."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) / 1024


@final
class AnonymousPeak:
    """The largest anonymous memory while the block runs, looked at ten times a second.

    Attributes:
        mib: What was seen so far.
    """

    def __init__(self) -> None:
        self.mib = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.mib = max(self.mib, anonymous_mib())

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.mib = max(self.mib, anonymous_mib())
