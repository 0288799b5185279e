"""Time to a loss against the textbook implementation: the same network, losses and start.

    python tests/benchmarks/time_to_loss.py [--level-px 512] [--coarse-px 256] [--repeat 2] [--output FILE]

The textbook: the whole image, float32, contiguous, plain autograd, `torch.optim.LBFGS` with a history of 100
on values of 0 to 255 and no line search, as neural-style-pt has it; it shares no code with the engine but
the file of weights. Ours: as it renders, from coarse levels up, bfloat16 where the CPU has it. Both start
from the content image, compute their targets on the clock, and have the same threads and the same allocator.
The loss of every image is judged by the textbook in float32, off the clock. Turns alternate, so that ratios
hold on a machine that is shared.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from benching import Clock, Results, demo_input, parser, picture, real_encoder, settle, style_loss
from jaxtyping import Float
from real_weights import real_weights
from torch import Tensor
from torch.nn import functional

from pipeline import canvas, weights
from pipeline.geometry import Box, Size
from pipeline.layers import CONTENT_LAYERS, STYLE_LAYERS, VGG16
from pipeline.objective import TiledObjective, Trial
from pipeline.optimiser import Lbfgs, minimise
from pipeline.rasters import Raster, TensorRaster

CONTENT, STYLE = "coffee.png", "painted_fields.png"
STYLES = [VGG16.layer(name) for name in STYLE_LAYERS]
CONTENTS = [VGG16.layer(name) for name in CONTENT_LAYERS]

Image: TypeAlias = Float[Tensor, "3 height width"]
Seen: TypeAlias = tuple[Clock, Image]


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--level-px", type=int, default=512, help="square root of the area")
    options.add_argument("--coarse-px", type=int, nargs="*", default=[128, 256])
    options.add_argument("--coarse-iterations", type=int, nargs="*", default=[60, 20])
    options.add_argument("--iterations", type=int, default=30, help="of ours at the top level, at most")
    options.add_argument("--evaluations", type=int, default=60, help="of the textbook")
    options.add_argument("--repeat", type=int, default=2)
    arguments = options.parse_args()
    machine = settle(arguments.threads)
    # Multiples of 16: others round down when they pool, we pad.
    native = canvas.read_header(demo_input(CONTENT)).size

    def at(px: int) -> Size:
        size = native.of_area(px)
        return Size(round(size.height / 16) * 16, round(size.width / 16) * 16)

    size = at(arguments.level_px)
    results = Results(f"time to loss, {CONTENT} {size} px, {STYLE}, VGG-16", arguments.output)
    results.say(
        f"coarse levels {', '.join(map(str, map(at, arguments.coarse_px)))} px with "
        f"{', '.join(map(str, arguments.coarse_iterations))} iterations; {machine.precision}"
    )
    textbook = Textbook()
    content, style = picture(CONTENT, size), picture(STYLE, at(arguments.level_px))
    levels = [
        (picture(CONTENT, at(px)), picture(STYLE, at(px)), count)
        for px, count in zip(arguments.coarse_px, arguments.coarse_iterations, strict=True)
    ]
    levels.append((content, style, arguments.iterations))
    ratios: list[tuple[float, float]] = []
    for turn in range(1, arguments.repeat + 1):
        theirs = textbook.run(content, style, arguments.evaluations)
        goal = theirs[-1]
        judge = textbook.loss(content, style)
        seen = _ours(levels, machine.dtype)
        ours = [Point(when, judge(image), count) for count, (when, image) in enumerate(seen, start=1)]
        results.say("")
        results.say(f"turn {turn}      {'evaluations':>11}{'loss':>12}{'wall s':>9}{'processor s':>13}")
        for name, point in [("textbook", theirs[len(theirs) // 2]), ("textbook", goal)]:
            results.say(_line(name, point))
        reached = next((point for point in ours if point.loss <= goal.loss), None)
        for point in ours:
            results.say(_line("ours", point))
            if point is reached:
                break
        if reached is None:
            results.say("ours did not reach it")
            continue
        ratios.append((goal.at.wall_s / reached.at.wall_s, goal.at.processor_s / reached.at.processor_s))
        results.say(f"ratio: {ratios[-1][0]:.2f} by the wall clock, {ratios[-1][1]:.2f} by the processor's")
    if ratios:
        wall, processor = (statistics.median(each) for each in zip(*ratios, strict=True))
        results.say("")
        results.say(f"median ratio: {wall:.2f} by the wall clock, {processor:.2f} by the processor's")
    results.save()


@final
@dataclass(frozen=True, slots=True)
class Point:
    """When an image of this loss was there, and after how many evaluations at the top level."""

    at: Clock
    loss: float
    evaluations: int


def _line(name: str, point: Point) -> str:
    return (
        f"{name:<12}{point.evaluations:>11}{point.loss:>12.4g}{point.at.wall_s:>9.1f}"
        f"{point.at.processor_s:>13.1f}"
    )


@final
class Textbook:
    """Gatys et al. as tutorials write it."""

    def __init__(self) -> None:
        file = weights.load(real_weights("vgg16"))
        self._weights = {name: torch.from_numpy(tensor.copy()) for name, tensor in file.tensors.items()}
        self._mean = torch.tensor(file.preprocessing.mean).view(1, 3, 1, 1)
        assert (file.preprocessing.channel_order, file.preprocessing.scale) == ("BGR", 255.0)

    def features(self, image: Float[Tensor, "1 3 height width"]) -> dict[str, Tensor]:
        """Activations of sRGB of 0 to 255."""
        x = image.flip(1) - self._mean
        found = {}
        for block, count in enumerate((2, 2, 3, 3, 1), start=1):
            if block > 1:
                x = functional.max_pool2d(x, 2)
            for number in range(1, count + 1):
                name = f"conv{block}_{number}"
                x = functional.conv2d(
                    x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], padding=1
                )
                x = functional.relu(x)
                found[name.replace("conv", "relu")] = x
        return found

    def loss(self, content: Image, style: Image) -> Callable[[Image], float]:
        """Judges images in [0, 1]."""
        with torch.no_grad():
            judge = self._judge(content, style)
            return lambda image: float(judge(image[None] * 255))

    def run(self, content: Image, style: Image, evaluations: int) -> list[Point]:
        """Every evaluation, from the content image on."""
        started = Clock.now()
        with torch.no_grad():
            judge = self._judge(content, style)
        image = (content[None] * 255).clone().requires_grad_()
        optimiser = torch.optim.LBFGS(
            [image], max_iter=evaluations, history_size=100, tolerance_change=-1, tolerance_grad=-1
        )
        points: list[Point] = []

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = judge(image)
            loss.backward()  # type: ignore[no-untyped-call]
            points.append(Point(Clock.now() - started, loss.item(), len(points) + 1))
            return loss

        while len(points) < evaluations:
            optimiser.step(closure)  # type: ignore[no-untyped-call]
        return points[:evaluations]

    def _judge(self, content: Image, style: Image) -> Callable[[Tensor], Tensor]:
        wanted = self.features(content[None] * 255)["relu4_2"]
        grams = {name: _gram(self.features(style[None] * 255)[name]) for name in STYLE_LAYERS}

        def judge(image: Tensor) -> Tensor:
            seen = self.features(image)
            total = functional.mse_loss(seen["relu4_2"], wanted)
            for name, gram in grams.items():
                total = total + 1e3 / len(gram) ** 2 * functional.mse_loss(_gram(seen[name]), gram)
            return total

        return judge


def _gram(features: Float[Tensor, "1 channels height width"]) -> Float[Tensor, "channels channels"]:
    rows = features[0].flatten(1)
    return rows @ rows.T / rows.shape[1]


def _ours(levels: Sequence[tuple[Image, Image, int]], dtype: torch.dtype) -> list[Seen]:
    """The images of the top level that were judged, and when each was there, coarse levels counted in."""
    encoder = real_encoder(dtype)
    kept: list[Seen] = []
    started = Clock.now()
    image = levels[0][0]
    for index, (content, style, iterations) in enumerate(levels):
        size = Size(*content.shape[1:])
        if index > 0:
            # What `canvas.carry_over` does.
            change = (image - levels[index - 1][0])[None]
            image = content + functional.interpolate(change, size=content.shape[1:], mode="bicubic")[0]
        loss = style_loss(encoder, style, STYLES, CONTENTS)
        # As levels are rendered that fit: by one tile, which is kept.
        side_px = max(size.height, size.width)
        raster = TensorRaster(content)
        objective = TiledObjective(encoder, loss, size, tile_px=side_px, content=raster, keep_tiles=1)
        if index < len(levels) - 1:
            image = minimise(objective, image, Lbfgs(iterations)).image
            continue
        minimise(_Watched(objective, started, kept), image, Lbfgs(iterations))
    return kept


@final
class _Watched:
    """An objective that keeps every image it judges, and when it had."""

    def __init__(self, objective: TiledObjective, started: Clock, kept: list[Seen]) -> None:
        self.size = objective.size
        self._objective = objective
        self._started = started
        self._kept = kept

    def forward(self, image: Raster, *, gradient_follows: bool = False) -> Trial:
        """The loss at this image."""
        trial = self._objective.forward(image)
        self._kept.append((Clock.now() - self._started, image.read(Box.whole(self.size)).clone()))
        return trial


if __name__ == "__main__":
    main()
