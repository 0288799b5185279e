"""How fast this machine renders: a short measurement, scaled by pixels, halos and passes to an estimate.

A piece of noise is evaluated and optimised with the level's own network, layers, regions and precision, in a
second or two. The time depends on the shapes alone, so random weights serve where the model file is not there
yet.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.budget import computed_share, kept_share
from pipeline.config import controls
from pipeline.config.models import ArtworkSettings
from pipeline.config.sections import Network, Optimiser
from pipeline.costs import EVALUATIONS_PER_ITERATION
from pipeline.features import Encoder
from pipeline.geometry import Size
from pipeline.guidance import Guidance, Propagation, normalise
from pipeline.layers import STRIDE_PX, Layer
from pipeline.level_plans import BudgetedPlan, LevelPlan
from pipeline.losses import GramTerm, Loss
from pipeline.machine import Machine
from pipeline.objective import TiledObjective
from pipeline.optimiser import Adam, Lbfgs, Settings, minimise
from pipeline.provenance import device_facts
from pipeline.rasters import TensorRaster
from pipeline.rendering.encoding import load_encoder
from pipeline.rendering.terms import level_loss
from pipeline.targets import style_statistics
from pipeline.tiles import Tile
from pipeline.weights import describe

# With 512 px, where a CPU multiplies relu2_1 in bfloat16 as in a level's tiles, it told 7 % less, and took
# three times as long.
_SIDE_PX = {"cpu": 256, "cuda": 1536}
_LEAST_S = 0.7
_LEAST_EVALUATIONS, _MOST_EVALUATIONS = 2, 50
_ITERATIONS = 3
_REJECTED_PER_STEP = 2 * (EVALUATIONS_PER_ITERATION - 1)
_MEGAPIXEL = 1e6


@final
@dataclass(frozen=True, slots=True)
class Pace:
    """What was measured: seconds per megapixel.

    Attributes:
        size: The piece that was computed.
        forward: The first pass over a tile, with nothing kept for a second: a trial that may be rejected.
        leading: The same where the gradient is certain to follow, and the content is left to it.
        gradient: The second pass: forward again, and backward.
        optimiser: What an iteration costs besides its passes.
        seconds: What the measurement took.
        random: Whether the weights were random.
    """

    size: Size
    forward: float
    leading: float
    gradient: float
    optimiser: float
    seconds: float
    random: bool

    def estimated_s(self, plan: BudgetedPlan, optimiser: Optimiser) -> float:
        """Seconds that the optimiser will take: all passes, without reading and writing the image.

        A tile whose activations are kept for its gradient needs no first pass of its own.
        """
        padded = plan.size.aligned_up(STRIDE_PX)
        computed = computed_share(padded, plan.network, plan.tile_core_px, plan.halo_px)
        twice = 1 - kept_share(padded, plan.tile_core_px, plan.halo_px, plan.keep_tiles)
        count, checked = plan.iterations, int(optimiser.check_last_step)
        if optimiser.method == "adam":
            leading, accepted, others = count, 0, float(checked)
        else:
            # The start leads; each step's trial but the last one's is the first half of what follows.
            leading, accepted = 1, count - 1
            others = checked + _REJECTED_PER_STEP * (accepted + checked)
        first = twice * (leading * self.leading + accepted * self.forward)
        passes = count * self.gradient + first + others * self.forward
        return (computed * passes + count * self.optimiser) * padded.area / _MEGAPIXEL / plan.processes


def pace_key(plan: BudgetedPlan, settings: ArtworkSettings) -> str:
    """Equal for what has the same pace: one measurement serves both."""
    regions = [region.where != "everything" for region in plan.regions] if isinstance(plan, LevelPlan) else []
    size = _piece(plan, "cpu")
    parts = (plan.network, settings.guidance, settings.optimiser, regions, plan.store, size)
    return repr(parts)


def basis(paces: Iterable[Pace], machine: Machine) -> tuple[str, ...]:
    """What an estimate rests on, in lines."""
    paces = list(paces)
    weights = "random weights" if any(pace.random for pace in paces) else "the real weights"
    sizes = ", ".join(dict.fromkeys(f"{pace.size} px" for pace in paces))
    seconds = sum(pace.seconds for pace in paces)
    device = device_facts(str(machine.device))["name"]
    return (
        f"time: scaled by pixels, halos and passes from {sizes} with {weights}, which took",
        f"{seconds:.1f} s just now on {device}, {machine.threads} threads, {machine.precision}. "
        "What else the machine does then,",
        "reading and writing files and the other stages are not in it.",
    )


def measure(
    plan: BudgetedPlan, guidance: controls.Guidance, optimiser: Optimiser, weights: Path, machine: Machine
) -> Pace:
    """The pace of a level or of a mixture on this machine.

    Args:
        plan: What will be rendered: its layers, its regions, its size.
        guidance: The form of the regions' guidance.
        optimiser: The optimiser's settings.
        weights: The network's model file, which need not be there.
        machine: Device, precision and threads.

    Raises:
        WeightsError: The model file is damaged, or another network's.
    """
    started = time.perf_counter()
    random = not weights.is_file()
    encoder = (_random_encoder if random else load_encoder)(weights, plan.network, machine)
    size = _piece(plan, machine.device.type)
    # Other noise than the targets': from the minimum there is nowhere to go.
    image, aim = _noise(size, 0, machine), _noise(size, 1, machine)
    objective = _objective(plan, guidance, encoder, aim)
    forward_s, leading_s, gradient_s = _evaluated_s(objective, image)
    trace = minimise(objective, image, _settings(optimiser)).trace
    # The first step has neither history nor the habit of the caches.
    counted = trace[1:]
    optimiser_s = 0.0
    if len(counted) > 1:
        first, last = counted[0], counted[-1]
        # Between these two Adam's gradients follow, and what L-BFGS judges are trials.
        each_s = leading_s if optimiser.method == "adam" else forward_s
        forwards_s = (last.forward_passes - first.forward_passes) * each_s
        gradients_s = (last.gradient_passes - first.gradient_passes) * gradient_s
        elapsed_s = last.seconds - first.seconds
        optimiser_s = max(0.0, elapsed_s - forwards_s - gradients_s) / (len(counted) - 1)
    megapixels = size.area / _MEGAPIXEL
    return Pace(
        size,
        forward_s / megapixels,
        leading_s / megapixels,
        gradient_s / megapixels,
        optimiser_s / megapixels,
        time.perf_counter() - started,
        random,
    )


def _piece(plan: BudgetedPlan, device: str) -> Size:
    side_px, padded = _SIDE_PX[device], plan.size.aligned_up(STRIDE_PX)
    return Size(min(side_px, padded.height), min(side_px, padded.width))


def _evaluated_s(
    objective: TiledObjective, image: Float[Tensor, "3 height width"]
) -> tuple[float, float, float]:
    """Medians of the seconds of a first pass, of one that leads, and of the second pass.

    One of each, before the others, does not count.
    """
    found: list[tuple[float, float, float]] = []
    began = time.perf_counter()
    while len(found) <= _LEAST_EVALUATIONS or (
        time.perf_counter() - began < _LEAST_S and len(found) < _MOST_EVALUATIONS
    ):
        started = time.perf_counter()
        # It reads its loss, and so has waited for the device.
        objective.forward(image)
        judged = time.perf_counter()
        trial = objective.forward(image, gradient_follows=True)
        _wait(image.device)
        between = time.perf_counter()
        trial.gradient().sum().item()
        ended = time.perf_counter()
        found.append((judged - started, between - judged, ended - between))
    forward, leading, gradient = zip(*found[1:], strict=True)
    return statistics.median(forward), statistics.median(leading), statistics.median(gradient)


def _wait(device: torch.device) -> None:
    """Returns when the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _objective(
    plan: BudgetedPlan,
    settings: controls.Guidance,
    encoder: Encoder,
    aim: Float[Tensor, "3 height width"],
) -> TiledObjective:
    """The plan's loss over one tile, with targets of noise."""
    size, content = Size(*aim.shape[1:]), TensorRaster(aim)
    layers = [plan.network.architecture.layer(name) for name in plan.network.style_layers]
    targets = style_statistics(encoder, content, None, layers, tile_px=max(size.height, size.width))
    guidance = None
    if isinstance(plan, LevelPlan):
        labels = [region.label for region in plan.regions]
        if any(region.where != "everything" for region in plan.regions):
            guidance = _guidance(size, layers, labels, settings, aim)
        loss = level_loss(plan, settings, dict.fromkeys(plan.targets, targets), guidance)
    else:
        loss = Loss(tuple(GramTerm(layer, None, 1.0, targets[layer.name].gram) for layer in layers))
    return TiledObjective(
        encoder,
        loss,
        size,
        tile_px=max(size.height, size.width),
        content=content,
        guidance=guidance,
        cache_content=plan.store == "memory",
    )


def _guidance(
    size: Size, layers: Sequence[Layer], labels: Sequence[str], settings: controls.Guidance, like: Tensor
) -> Guidance:
    """Regions that overlap everywhere: none vanishes, however small the piece."""
    share = torch.full((len(labels), size.height, size.width), 1 / len(labels)).to(like)
    how = Propagation(settings.propagation)
    return normalise(TensorRaster(share), layers, (Tile.whole(size),), labels, how)


def _noise(size: Size, seed: int, machine: Machine) -> Float[Tensor, "3 height width"]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, size.height, size.width, generator=generator).to(machine.device)


def _random_encoder(_: Path, network: Network, machine: Machine) -> Encoder:
    """The network with He-initialised weights: activations keep their scale through all layers."""
    generator, inputs = torch.Generator().manual_seed(0), 3
    weights: dict[str, Tensor] = {}
    for layer in network.architecture.up_to(network.layers):
        deviation = math.sqrt(2 / (9 * inputs))
        shape = (layer.channels, inputs, 3, 3)
        weights[f"{layer.convolution}.weight"] = torch.randn(shape, generator=generator) * deviation
        weights[f"{layer.convolution}.bias"] = torch.zeros(layer.channels)
        inputs = layer.channels
    return Encoder(
        weights,
        network.architecture,
        describe(network.name).preprocessing,
        pooling=network.pooling,
        dtype=machine.dtype,
        device=machine.device,
    )


def _settings(optimiser: Optimiser) -> Settings:
    if optimiser.method == "adam":
        # A last image that is evaluated would be the only one that no gradient follows.
        return Adam(_ITERATIONS + 1, optimiser.learning_rate_grey_levels, check_last_step=False)
    return Lbfgs(_ITERATIONS, history=optimiser.history, hessian_scales=optimiser.hessian_scales or None)
