"""One level of one artwork: files in, the rendered image and its record out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.config.models import Artwork
from pipeline.errors import InputError
from pipeline.geometry import Size
from pipeline.guidance import Guidance, normalise
from pipeline.layers import Layer
from pipeline.losses import ContentTerm, GramTerm, Loss, Term, mix_targets
from pipeline.machine import Machine, prepare_machine
from pipeline.optimiser import Step
from pipeline.plan import LevelPlan, Plan
from pipeline.pyramid import STRIDE_PX
from pipeline.rasters import TensorRaster
from pipeline.rendering.inputs import Targets, load_encoder, read_padded, read_targets
from pipeline.rendering.optimisation import Work, make_objective, optimise
from pipeline.rendering.record import RenderingRecord
from pipeline.tiles import Tile, cut


@final
@dataclass(frozen=True, slots=True)
class LevelFiles:
    """What a level is rendered from.

    Attributes:
        weights: The network's model file.
        content: The content image at the level's size and colours.
        targets: Files of style statistics, whose stems are the keys in the plan.
        guides: The guidance channels, or None when one style covers everything.
        start: Where to start from, or None for what the artwork's settings say.
    """

    weights: Path
    content: Path
    targets: tuple[Path, ...]
    guides: Path | None
    start: Path | None


def render_level(
    plan: Plan, level: LevelPlan, files: LevelFiles, on_progress: Callable[[Step], None]
) -> tuple[Float[np.ndarray, "height width 3"], RenderingRecord]:
    """The rendered image of a level, float32 and unclipped, and the record of how it came about.

    Raises:
        PipelineError: A file is missing or is not what the plan says; a region is too small for the level.
    """
    settings = plan.settings
    machine = prepare_machine(plan.compute.device, plan.compute.precision, plan.compute.threads)
    encoder = load_encoder(files.weights, level.network, machine)
    content = read_padded(files.content, level.size, 3, machine)
    padded = Size(*content.shape[1:])
    guidance = _guidance(files.guides, level, padded, machine)
    loss = _loss(level, _read_targets(level, files.targets, machine), guidance)
    raster = TensorRaster(content)
    return optimise(
        Work(level.level_px, level.size, level.iterations, level.tile_core_px),
        make_objective(encoder, loss, padded, level.tile_core_px, content=raster, guidance=guidance),
        _start(files.start, settings, level, content, machine),
        optimiser=settings.optimiser,
        machine=machine,
        on_progress=on_progress,
        warnings=guidance.warnings if guidance is not None else (),
    )


def _read_targets(level: LevelPlan, files: tuple[Path, ...], machine: Machine) -> dict[str, Targets]:
    """The style statistics that the level's regions name, by key and layer."""
    known = {file.stem: file for file in files}
    layers = [level.network.architecture.layer(name) for name in level.network.style_layers]
    return {
        key: read_targets(known[key], layers, machine) if key in known else _absent(key)
        for key in level.targets
    }


def _absent(key: str) -> Targets:
    raise InputError("--targets", expected=f"{key}.safetensors, which the plan names", found="other files")


def _guidance(path: Path | None, level: LevelPlan, padded: Size, machine: Machine) -> Guidance | None:
    if path is None:
        return None
    channels = read_padded(path, level.size, len(level.regions), machine)
    style_layers = [level.network.architecture.layer(name) for name in level.network.style_layers]
    labels = [region.label for region in level.regions]
    return normalise(TensorRaster(channels), style_layers, _tiles(padded, level), labels)


def _tiles(padded: Size, level: LevelPlan) -> tuple[Tile, ...]:
    if level.tile_core_px is None:
        return (Tile.whole(padded),)
    # A channel reaches a layer by averages over its own units: no halo.
    return cut(padded, level.tile_core_px, 0, STRIDE_PX)


def _loss(level: LevelPlan, targets: Mapping[str, Targets], guidance: Guidance | None) -> Loss:
    """The artwork's loss at this level: content, and the styles of every region that is there."""
    architecture = level.network.architecture
    terms: list[Term] = []
    if level.content_weight > 0:
        terms += [
            ContentTerm(architecture.layer(name), level.content_weight)
            for name in level.network.content_layers
        ]
    style_layers = [architecture.layer(name) for name in level.network.style_layers]
    for index, region in enumerate(level.regions):
        share = region.weight / len(level.regions)
        present = [layer for layer in style_layers if not _vanished(guidance, layer, index)]
        if not present:
            raise InputError(
                f"region {region.label}",
                expected=f"a mask that covers at least a pixel of level {level.level_px}",
                found="less than that",
                fix="Enlarge the mask, or leave the region out",
            )
        for layer in present:
            found = [targets[target.target].get(layer.name) for target in region.targets]
            weighted = [
                (statistics.gram, target.weight)
                for statistics, target in zip(found, region.targets, strict=True)
                if statistics is not None
            ]
            if weighted:
                terms.append(
                    GramTerm(
                        layer,
                        None if guidance is None else index,
                        level.style_weight * share / layer.channels**2,
                        mix_targets([gram for gram, _ in weighted], [weight for _, weight in weighted]),
                        "" if guidance is None else region.label,
                    )
                )
    return Loss(tuple(terms))


def _vanished(guidance: Guidance | None, layer: Layer, region: int) -> bool:
    return guidance is not None and (layer.name, region) in guidance.vanished


def _start(
    path: Path | None, settings: Artwork, level: LevelPlan, content: Tensor, machine: Machine
) -> Float[Tensor, "3 height width"]:
    if path is not None:
        return read_padded(path, level.size, 3, machine)
    if settings.start == "content":
        return content
    # On the CPU, so that a seed means the same noise on every device.
    generator = torch.Generator().manual_seed(settings.seed)
    return torch.rand(content.shape, generator=generator).to(machine.device)
