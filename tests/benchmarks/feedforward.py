"""The fast variant: pixels per second and memory of painting at rising sizes, images per second of training.

    python tests/benchmarks/feedforward.py [--megapixels 1 16 256] [--precisions float32 bfloat16]
        [--moments exact thumbnail] [--training-iterations 8] [--folder FOLDER] [--output FILE]

Painting: the `narrow` network with two regions and seeded random weights, whose values do not change the
work; the demo's astronaut enlarged, in a file; two soft regions; the default memory budget. One process for
each size. Anonymous memory is what no file stands behind (RssAnon), read ten times a second; `more` is what
that is above the process with its network before the first tile. For the thumbnail, the deviation that the
record tells stands beside; an image no larger than the thumbnail has none. Any size can be a command of
its own: `--megapixels 1000 --precisions bfloat16 --moments exact --training-iterations 0` is a
gigapixel, which takes about 60 GB of FOLDER.

Training: the same network at the authors' settings (256 px, batches of 4) against the real VGG-16, from four
photographs of six megapixels, JPEGs that are decoded for every crop, as of a set too large for memory; and
loading alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from benching import (
    AnonymousPeak,
    Clock,
    Results,
    anonymous_mib,
    demo_input,
    parser,
    picture,
    real_encoder,
    settle,
)
from transformation_networks import make_card, make_network

from pipeline import canvas
from pipeline.feedforward.application import Picture, paint
from pipeline.feedforward.models import TrainedNetwork
from pipeline.feedforward.photographs import Photographs
from pipeline.feedforward.training import Training
from pipeline.feedforward.training_settings import TrainingSettings
from pipeline.geometry import Size
from pipeline.machine import Machine
from pipeline.transformations import ARCHITECTURES

BUDGET_MIB = 4096 - 700
THUMBNAIL_PX = 1024
PHOTOGRAPH = Size(2000, 3000)


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--megapixels", type=int, nargs="*", default=[1, 16, 256])
    options.add_argument("--precisions", nargs="*", default=["float32", "bfloat16"])
    options.add_argument("--moments", nargs="*", default=["exact", "thumbnail"])
    options.add_argument("--training-iterations", type=int, default=8, help="0 leaves training out")
    options.add_argument("--folder", type=Path, help="where the files lie meanwhile")
    options.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.one is not None:
        count, precision, moments = arguments.one
        machine = settle(arguments.threads, precision)
        if arguments.folder is not None:
            arguments.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            found = _paint(int(count), moments, Path(folder), machine)
        sys.stdout.write(json.dumps(found) + "\n")
        return
    machine = settle(arguments.threads)
    results = Results("the fast variant, narrow network, two regions", arguments.output)
    results.say(
        f"{'precision':<10}{'moments':<11}{'MP':>5}{'MP/s':>8}{'CPU s/MP':>10}{'peak MiB':>10}{'more':>7}"
        f"{'tile':>6}{'layers in':>11}  deviation, grey levels"
    )
    for precision in arguments.precisions:
        for moments in arguments.moments:
            for count in arguments.megapixels:
                command = [sys.executable, __file__, "--threads", str(arguments.threads)]
                command += ["--one", str(count), precision, moments]
                if arguments.folder is not None:
                    command += ["--folder", str(arguments.folder)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                found = json.loads(done.stdout)
                results.say(
                    f"{precision:<10}{moments:<11}{count:>5}{count / found['wall_s']:>8.2f}"
                    f"{found['processor_s'] / count:>10.2f}{found['peak_mib']:>10.0f}"
                    f"{found['peak_mib'] - found['before_mib']:>7.0f}{found['tile_px']:>6}"
                    f"{found['store']:>11}  {found['deviation']}"
                )
                # Whoever ends it in hours keeps what there is.
                results.save()
    if arguments.training_iterations:
        results.say("")
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            folder, iterations = Path(name), arguments.training_iterations
            results.say(_loaded(4 * iterations, folder, arguments.threads))
            for precision in arguments.precisions:
                results.say(_trained(iterations, folder, settle(arguments.threads, precision)))
    results.save()


def _paint(
    megapixels: int, moments: Literal["exact", "thumbnail"], folder: Path, machine: Machine
) -> dict[str, Any]:
    """What painting once took, in this process."""
    side_px = round((megapixels * 1e6) ** 0.5)
    size = Size(side_px, side_px)
    canvas.prepare(demo_input("astronaut.png"), folder / "prepared.tif")
    canvas.resize(folder / "prepared.tif", folder / "image.tif", size)
    ramp = np.linspace(0, 255, 512).round().astype(np.uint8)
    canvas.write_png(folder / "left.png", np.repeat(ramp[None, :, None], 512, axis=0))
    masks = [canvas.Mask(folder / "left.png", inverted) for inverted in (False, True)]
    canvas.compose_guides(masks, folder / "guides.tif", size)
    trained = TrainedNetwork(make_network(ARCHITECTURES["narrow"]), make_card())
    before = anonymous_mib()
    with AnonymousPeak() as peak:
        wall, processor = time.perf_counter(), time.process_time()
        record = paint(
            trained,
            Picture(folder / "image.tif", folder / "guides.tif"),
            folder / "painted.tif",
            moments=moments,
            thumbnail_px=THUMBNAIL_PX,
            memory_budget_mib=BUDGET_MIB,
            machine=machine,
            layers_folder=folder / "layers",
        )
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    deviation = record.deviation
    return {
        "wall_s": wall,
        "processor_s": processor,
        "before_mib": before,
        "peak_mib": peak.mib,
        "tile_px": record.tile_px,
        "store": record.store,
        "deviation": "" if deviation is None else f"{deviation.rms:.2f} rms, {deviation.largest:.1f} at most",
    }


def _loaded(batches: int, folder: Path, workers: int) -> str:
    """Crops per second from files alone, as a line."""
    settings = TrainingSettings()
    with contextlib.closing(_crops(folder).batches(0, settings.batch, workers)) as crops:
        next(crops)
        before = Clock.now()
        for _ in range(batches):
            next(crops)
        taken = Clock.now() - before
    images = batches * settings.batch
    return (
        f"loading, photographs of {PHOTOGRAPH} px, none kept in memory, {workers} workers: "
        f"{images / taken.wall_s:.2f} images/s, {taken.processor_s / images:.3f} CPU s an image"
    )


def _trained(iterations: int, folder: Path, machine: Machine) -> str:
    """Images per second of training from files, as a line."""
    settings = TrainingSettings(iterations=iterations)
    styles = {name: picture(f"painted_{name}.png", Size(256, 256)) for name in ("fields", "night")}
    training = Training.new(settings, real_encoder(machine.dtype), styles, machine)
    with contextlib.closing(_crops(folder).batches(0, settings.batch, machine.threads)) as crops:
        training.step(next(crops))
        before = Clock.now()
        for _ in range(iterations - 1):
            training.step(next(crops))
        taken = Clock.now() - before
    images = (iterations - 1) * settings.batch
    return (
        f"training, {machine.precision}, 256 px, batches of {settings.batch}: "
        f"{images / taken.wall_s:.2f} images/s, {taken.processor_s / images:.2f} CPU s an image"
    )


def _crops(folder: Path) -> Photographs:
    """Crops of the demo's photographs, enlarged, as JPEGs; each is decoded for each of its crops."""
    paths = []
    for name in ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg"):
        path = folder / f"{Path(name).stem}.jpg"
        if not path.exists():
            canvas.resize(demo_input(name), folder / "enlarged.tif", PHOTOGRAPH)
            canvas.export_preview(folder / "enlarged.tif", path, max(PHOTOGRAPH.height, PHOTOGRAPH.width))
        paths.append(path)
    return Photographs(paths, TrainingSettings().size_px, seed=0, cache_mib=0)


if __name__ == "__main__":
    main()
