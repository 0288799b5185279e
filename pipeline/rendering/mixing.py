"""Scale control: a new style image with the large shapes of one and the fine structure of another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import final

from pipeline.features import Encoder
from pipeline.groups import StoppedError
from pipeline.level_plans import MixPlan
from pipeline.losses import GramTerm, Loss
from pipeline.machine import prepare_machine
from pipeline.rasters import Checked, Raster, TensorRaster
from pipeline.rendering.encoding import load_encoder
from pipeline.rendering.inputs import FileRaster, read_padded
from pipeline.rendering.optimisation import Judgement, Rendered, Run, Stopped, Work, optimise, part_of
from pipeline.targets import style_statistics

_FINE_TILE_PX = 512
_STRENGTH = 1e3
_NORMALISED_STRENGTH = 1e5


@final
@dataclass(frozen=True, slots=True)
class MixFiles:
    """What a mixture is made from.

    Attributes:
        weights: The network's model file.
        start: The coarse image, or the mixture one level below, at the mixture's size.
        fine: The image whose fine structure is taken, at any size.
    """

    weights: Path
    start: Path
    fine: Path


def mix_styles(plan: MixPlan, files: MixFiles, run: Run) -> Rendered | Stopped:
    """The mixture, and the record of how it came about.

    From the start image on, sum_l w_l E_l of the plan's layers alone is minimised, E_l the mean over the N^2
    entries of (G(x) - G(fine))^2 and w_l = 1e3 / (number of layers), 1e5 / (number of layers) for the
    normalised network. A unit sees no further than its receptive field, so Gram matrices of shallow layers
    are met by changes of that reach, and what is much larger stays where the start image has it.

    Raises:
        PipelineError: A file is missing or is not what the plan says.
    """
    try:
        return _mixed(plan, files, run)
    except StoppedError:
        return Stopped(None)


def _mixed(plan: MixPlan, files: MixFiles, run: Run) -> Rendered | Stopped:
    machine = prepare_machine(plan.compute.device, plan.compute.precision, plan.compute.threads)
    encoder = load_encoder(files.weights, plan.network, machine)
    start: Raster = (
        TensorRaster(read_padded(files.start, plan.size, 3, machine))
        if plan.tile_core_px is None
        else FileRaster(files.start, plan.size, 3, machine)
    )
    # A style may be larger or smaller than the level it serves: this is the mixture's own name.
    work = Work(
        math.isqrt(plan.size.area),
        plan.size,
        plan.iterations,
        plan.tile_core_px,
        plan.keep_tiles,
        plan.store,
    )
    with run.group.together():
        fine = Checked(FileRaster(files.fine, None, 3, machine), run.check)
        loss = _loss(plan, encoder, fine)
    part = part_of(run.group, start.size, loss, plan.optimiser)
    judgement = Judgement(encoder, loss, part)
    return optimise(work, judgement, start, run, optimiser=plan.optimiser, machine=machine)


def _loss(plan: MixPlan, encoder: Encoder, fine: Raster) -> Loss:
    """The distance to the fine image's Gram matrices."""
    layers = [plan.network.architecture.layer(name) for name in plan.network.style_layers]
    targets = style_statistics(encoder, fine, None, layers, tile_px=_FINE_TILE_PX)
    weight = (_NORMALISED_STRENGTH if plan.network.normalised else _STRENGTH) / len(layers)
    return Loss(tuple(GramTerm(layer, None, weight, targets[layer.name].gram) for layer in layers))
