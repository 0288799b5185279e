"""One level of one artwork: files in, the rendered image and its record out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

from pipeline.config.models import Artwork
from pipeline.errors import InputError
from pipeline.geometry import Size
from pipeline.groups import StoppedError
from pipeline.guidance import Coverage, Guidance, Propagation, normalise
from pipeline.layers import STRIDE_PX
from pipeline.level_plans import LevelPlan
from pipeline.machine import Machine, prepare_machine
from pipeline.plan import Plan
from pipeline.rasters import Checked, Noise, Raster, TensorRaster
from pipeline.rendering.encoding import load_encoder
from pipeline.rendering.inputs import FileRaster, Targets, read_padded, read_targets
from pipeline.rendering.optimisation import Judgement, Rendered, Run, Stopped, Work, optimise, part_of
from pipeline.rendering.terms import absent_styles, level_loss
from pipeline.tiles import Tile, cut

_NOTEWORTHY = 0.005


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


def render_level(plan: Plan, level: LevelPlan, files: LevelFiles, run: Run) -> Rendered | Stopped:
    """The rendered image of a level, and the record of how it came about.

    Raises:
        PipelineError: A file is missing or is not what the plan says; a region is too small for the level.
    """
    try:
        return _rendered(plan, level, files, run)
    except StoppedError:
        return Stopped(None)


def _rendered(plan: Plan, level: LevelPlan, files: LevelFiles, run: Run) -> Rendered | Stopped:
    settings = plan.settings
    machine = prepare_machine(plan.compute.device, plan.compute.precision, plan.compute.threads)
    run.group.meet(machine.device)
    encoder = load_encoder(files.weights, level.network, machine)
    content = _raster(files.content, level, 3, machine)
    how = Propagation(settings.guidance.propagation, settings.guidance.grow_units)
    with run.group.together():
        guidance = _guidance(files.guides, level, how, machine, run)
    targets = _read_targets(level, files.targets, machine)
    loss = level_loss(level, settings.guidance, targets, guidance)
    warnings = [*absent_styles(level, targets, how)]
    if guidance is not None:
        warnings += [*guidance.warnings, *_cover(guidance.coverage, level)]
    work = Work(
        level.level_px, level.size, level.iterations, level.tile_core_px, level.keep_tiles, level.store
    )
    part = part_of(run.group, content.size, loss, settings.optimiser)
    return optimise(
        work,
        Judgement(encoder, loss, part, Checked(content, run.check), guidance),
        _start(files.start, settings, level, content, machine),
        run,
        optimiser=settings.optimiser,
        machine=machine,
        warnings=tuple(warnings),
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


def _guidance(
    path: Path | None, level: LevelPlan, how: Propagation, machine: Machine, run: Run
) -> Guidance | None:
    if path is None:
        return None
    channels = Checked(_raster(path, level, len(level.regions), machine), run.check)
    style_layers = [level.network.architecture.layer(name) for name in level.network.style_layers]
    labels = [region.label for region in level.regions]
    return normalise(channels, style_layers, _tiles(channels.size, level), labels, how)


def _raster(path: Path, level: LevelPlan, channels: int, machine: Machine) -> Raster:
    """A file of the level: in memory when the whole level is, by boxes when the level is cut."""
    if level.tile_core_px is None:
        return TensorRaster(read_padded(path, level.size, channels, machine))
    return FileRaster(path, level.size, channels, machine)


def _cover(found: Coverage, level: LevelPlan) -> Iterator[str]:
    """What becomes of the parts that no region covers, or several: a sentence for each kind."""
    if found.uncovered > _NOTEWORTHY:
        fate = "is styled by the Gram matrix of the whole image" if level.whole else "keeps its content alone"
        yield f"{found.uncovered:.1%} of level {level.level_px} is in no region and {fate}"
    if found.shared > _NOTEWORTHY:
        yield f"{found.shared:.1%} of level {level.level_px} is in several regions and takes all their styles"


def _tiles(padded: Size, level: LevelPlan) -> tuple[Tile, ...]:
    if level.tile_core_px is None:
        return (Tile.whole(padded),)
    # How far around its core a tile's channels are read is the guidance's own business.
    return cut(padded, level.tile_core_px, 0, STRIDE_PX)


def _start(
    path: Path | None, settings: Artwork, level: LevelPlan, content: Raster, machine: Machine
) -> Raster:
    if path is not None:
        return _raster(path, level, 3, machine)
    return content if settings.start == "content" else Noise(content.size, settings.seed, machine.device)
