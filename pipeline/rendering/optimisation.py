"""What every image that is optimised shares: objective, optimiser, the result's pixels and record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline import provenance
from pipeline.config.sections import Optimiser
from pipeline.features import Encoder, crop
from pipeline.geometry import Size
from pipeline.guidance import Guidance
from pipeline.losses import Loss
from pipeline.machine import Machine
from pipeline.objective import Objective, TiledObjective, WholeObjective
from pipeline.optimiser import Adam, Lbfgs, Settings, Step, minimise
from pipeline.rasters import Raster
from pipeline.rendering.record import RenderingRecord, TracePoint


@final
@dataclass(frozen=True, slots=True)
class Work:
    """What is optimised, and for how long.

    Attributes:
        level_px: The level's name: the square root of its area.
        size: Of the image, without padding.
        iterations: Of the optimiser.
        tile_core_px: Side of a tile's core, or None when the whole image fits.
    """

    level_px: int
    size: Size
    iterations: int
    tile_core_px: int | None


def make_objective(
    encoder: Encoder,
    loss: Loss,
    padded: Size,
    tile_core_px: int | None,
    *,
    content: Raster | None = None,
    guidance: Guidance | None = None,
) -> Objective:
    """The loss over a padded image: by tiles where the plan has some, whole otherwise."""
    if tile_core_px is None:
        return WholeObjective(encoder, loss, padded, content=content, guidance=guidance)
    return TiledObjective(encoder, loss, padded, tile_px=tile_core_px, content=content, guidance=guidance)


def optimise(
    work: Work,
    objective: Objective,
    start: Float[Tensor, "3 padded_height padded_width"],
    *,
    optimiser: Optimiser,
    machine: Machine,
    on_progress: Callable[[Step], None],
    warnings: tuple[str, ...] = (),
) -> tuple[Float[np.ndarray, "height width 3"], RenderingRecord]:
    """The optimised image without its padding, float32 and unclipped, and the record of how it came about."""
    result = minimise(objective, start, _settings(optimiser, work.iterations), on_progress=on_progress)
    last = result.trace[-1]
    record = RenderingRecord(
        level=provenance.LevelRecord(
            level_px=work.level_px,
            height_px=work.size.height,
            width_px=work.size.width,
            tile_px=work.tile_core_px,
            iterations=last.iteration,
            passes=last.passes,
            loss_first=result.trace[0].loss,
            loss_last=last.loss,
            seconds=last.seconds,
            peak_memory_mib=provenance.peak_memory_mib(),
        ),
        precision=machine.precision,
        device=provenance.device_facts(str(machine.device)),
        ending=result.ending,
        warnings=warnings,
        trace=tuple(
            TracePoint(iteration=s.iteration, passes=s.passes, loss=s.loss, terms=s.terms)
            for s in result.trace
        ),
    )
    image = crop(result.image, work.size).permute(1, 2, 0).contiguous().cpu().numpy()
    return image, record


def _settings(optimiser: Optimiser, iterations: int) -> Settings:
    if optimiser.method == "adam":
        return Adam(iterations, optimiser.learning_rate_grey_levels)
    return Lbfgs(
        iterations,
        history=optimiser.history,
        history_dtype=torch.bfloat16 if optimiser.history_precision == "bfloat16" else torch.float32,
        first_step_grey_levels=optimiser.first_step_grey_levels,
        hessian_scales=optimiser.hessian_scales or None,
    )
