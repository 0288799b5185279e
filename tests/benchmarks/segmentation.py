"""How well people are found: masks against outlines drawn by hand, scenes of known alpha, and seconds.

    python tests/benchmarks/segmentation.py [--output FILE] [--overlays FOLDER]

Fetches the model files and scikit-image's photographs once a machine. Every mask is brought to the
photograph's full size as `impasto segment` does. Overlays are PNG files to look at: what is masked out is
blue. Seconds are those of the processor, per megapixel, without the refinement: the machine may be shared.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from photographs import HELMET, PEOPLE, SCENES, WITHOUT_PEOPLE, alpha_of, overlap, read, scene
from real_weights import real_weights

from pipeline import canvas, weights
from pipeline.files import write_text
from pipeline.machine import prepare_machine
from pipeline.provenance import device_facts
from pipeline.segmentation import Segmentation, segment

_WORKING_PX = 1024


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--overlays", type=Path)
    arguments = parser.parse_args()
    machine = prepare_machine("cpu", "float32", arguments.threads)
    facts = device_facts(str(machine.device))
    versions = f"torch {facts['torch']}, Python {platform.python_version()}"
    lines = [
        f"{datetime.date.today().isoformat()}  automatic masks at full size",
        f"{facts['name']}, {facts['threads']} threads; {versions}",
        "",
        f"{'photograph':<30}{'method':<9}{'size, px':>11}{'IoU':>7}{'coverage':>10}{'people':>8}{'s/MP':>7}",
    ]
    for case in _cases():
        line = _line(case, arguments.overlays)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        lines.append(line)
    if arguments.output is not None:
        write_text(arguments.output, "\n".join(lines) + "\n")


@dataclass(frozen=True)
class _Case:
    name: str
    image: Tensor
    method: str = "person"
    truth: Tensor | None = None
    ignored: Tensor | None = None


def _cases() -> Iterator[_Case]:
    for name, outline in PEOPLE.items():
        for method in ("person", "subject"):
            helmet = alpha_of(HELMET) if name == "astronaut.png" else None
            yield _Case(name, read(name), method, alpha_of(outline), helmet)
    for name, (background, size, people) in SCENES.items():
        image, truth = scene(background, size, people)
        yield _Case(name, image, truth=truth)
    for name in WITHOUT_PEOPLE:
        for longer_px in (None, _WORKING_PX):
            yield _Case(name, read(name, longer_px))


def _line(case: _Case, overlays: Path | None) -> str:
    image = case.image
    started = time.process_time()
    found = _segmented(image, case.method)
    seconds = (time.process_time() - started) / (image[0].numel() / 1e6)
    matte = _full_size(image, found)
    if overlays is not None:
        shown = image * (0.35 + 0.65 * matte)
        shown[2] += 0.4 * (1 - matte)
        pixels = (shown.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        stem = Path(case.name).stem.replace(" ", "_")
        canvas.write_png(overlays / f"{stem}-{case.method}-{max(image.shape)}.png", pixels)
    quality = "" if case.truth is None else f"{overlap(matte, case.truth, case.ignored):.3f}"
    return (
        f"{case.name:<30}{case.method:<9}{f'{image.shape[1]}x{image.shape[2]}':>11}{quality:>7}"
        f"{float(matte.mean()):>10.2%}{len(found.people):>8}{seconds:>7.1f}"
    )


def _segmented(image: Tensor, method: str) -> Segmentation:
    model = weights.load(real_weights(method))
    detector = weights.load(real_weights("person_detector")) if method == "person" else None
    return segment(image, model, detector=detector)


def _full_size(image: Tensor, found: Segmentation) -> Tensor:
    with tempfile.TemporaryDirectory() as folder:
        picture, mask = Path(folder) / "image.png", Path(folder) / "mask.tif"
        canvas.write_png(picture, (image * 255).round().byte().permute(1, 2, 0).numpy())
        canvas.write_matte(found.probability.numpy(), picture, mask)
        return torch.from_numpy(canvas.read(mask))[..., 0]


if __name__ == "__main__":
    main()
