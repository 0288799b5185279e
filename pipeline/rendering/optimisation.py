"""What every image that is optimised shares: objective, optimiser, the result's pixels and record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Float

from pipeline import provenance
from pipeline.budget import SMALLEST_TILE_PX
from pipeline.checkpoint import Checkpoint
from pipeline.config.sections import Optimiser
from pipeline.errors import ResourceError
from pipeline.features import Encoder
from pipeline.geometry import Size, align_up
from pipeline.groups import Alone, Group, Part, stop_if
from pipeline.guidance import Guidance
from pipeline.layers import STRIDE_PX
from pipeline.losses import Loss
from pipeline.machine import Machine
from pipeline.objective import Objective, OnTile, TiledObjective
from pipeline.optimiser import Adam, Lbfgs, Settings, Step, minimise
from pipeline.optimiser.hessian import MultiscaleHessian
from pipeline.rasters import Cutout, Raster
from pipeline.rendering.pace import Pace
from pipeline.rendering.previewing import Previews, own_rows
from pipeline.rendering.record import RenderingRecord, TracePoint
from pipeline.rendering.shrinking import Shrinking
from pipeline.stores import Store
from pipeline.strips import deal
from pipeline.workspaces import FolderWorkspace, MemoryWorkspace, Workspace


@final
@dataclass(frozen=True, slots=True)
class Work:
    """What is optimised, how it is cut, and for how long.

    Attributes:
        level_px: The level's name: the square root of its area.
        size: Of the image, without padding.
        iterations: Of the optimiser.
        tile_core_px: The largest side of a tile's core, or None when the whole image fits.
        keep_tiles: How many tiles keep their activations from one pass to the next.
        store: Where the optimiser's vectors are: in the device's memory, in the host's, or in files.
    """

    level_px: int
    size: Size
    iterations: int
    tile_core_px: int | None
    keep_tiles: int
    store: Literal["memory", "host", "files"]


@final
@dataclass(frozen=True, slots=True)
class Run:
    """How a run is watched, stopped and resumed.

    Attributes:
        state: Where its state is kept until its result is safe; nobody else's folder. None keeps nothing.
        key: Stands for everything that the pixels depend on.
        on_progress: Called with the start, or where an earlier run had come to, and after each iteration.
        should_stop: Asked before each tile that is read, of guides and saved files as well.
        group: Those who compute the image together.
        previews: Where to show what the image looks like meanwhile; None shows nothing.
        on_share: Called after each tile with the share of the whole work, from 0 to 1, and what was done.
    """

    state: Path | None
    key: str
    on_progress: Callable[[Step], None]
    should_stop: Callable[[], bool]
    group: Group = field(default_factory=Alone)
    previews: Previews | None = None
    on_share: Callable[[float, str], None] = lambda _share, _done: None

    def check(self) -> None:
        """Raises StoppedError if it is to stop."""
        stop_if(self.should_stop)


@final
@dataclass(frozen=True, eq=False, slots=True)
class Rendered:
    """An optimised image, and the record of how it came about.

    Attributes:
        size: Height and width, without padding.
        record: Cost, losses, device.
    """

    size: Size
    record: RenderingRecord
    _store: Store
    _checkpoint: Checkpoint | None
    _part: Part

    def rows(self) -> Iterator[Float[np.ndarray, "rows width 3"]]:
        """The pixels, some rows at a time from the top, float32 and unclipped.

        Only the leader of a group gets them, but all must ask for them.
        """
        for block in self._part.group.collected(own_rows(self._store, self.size, self._part)):
            yield block.numpy()

    def discard_state(self) -> None:
        """Deletes what was kept for resuming: the result is safe elsewhere now."""
        if self._checkpoint is not None:
            self._checkpoint.discard()


@final
@dataclass(frozen=True, slots=True)
class Stopped:
    """A run that was asked to stop; its state is kept, so that the same run goes on from there.

    Attributes:
        iterations: How many were completed; None where it had not begun, or gone on, yet.
    """

    iterations: int | None


def part_of(group: Group, padded: Size, loss: Loss, optimiser: Optimiser) -> Part:
    """What this process of a group does of a level.

    Raises:
        ResourceError: The level is too small for so many.
    """
    hessian = MultiscaleHessian(optimiser.hessian_scales).fitting(padded)
    grid_px = max(STRIDE_PX, hessian.stride_px)
    halo_px = align_up(max(loss.deepest.halo_px, hessian.halo_px, grid_px), grid_px)
    try:
        return Part(deal(padded, group.count, halo_px, grid_px)[group.rank], group)
    except ValueError:
        raise ResourceError(
            f"level of {padded} px",
            expected=f"at most {max(1, padded.height // (2 * halo_px))} processes",
            found=str(group.count),
            fix="Start fewer",
        ) from None


@final
@dataclass(frozen=True, eq=False, slots=True)
class Judgement:
    """The loss over a level, however it is cut.

    Attributes:
        encoder: The network.
        loss: The terms.
        part: What this process does of the level.
        content: The content image, if a term compares with it.
        guidance: The regions, if a term has one.
    """

    encoder: Encoder
    loss: Loss
    part: Part
    content: Raster | None = None
    guidance: Guidance | None = None

    def by_tiles(self, tile_px: int | None, work: Work, on_tile: OnTile) -> Objective:
        """By tiles of a side, or for None by one that is all of the strip, or of the level, and is kept."""
        padded = self.part.strip.level
        return TiledObjective(
            self.encoder,
            self.loss,
            padded,
            tile_px=tile_px or max(padded.height, padded.width),
            content=self.content,
            guidance=self.guidance,
            keep_tiles=work.keep_tiles if tile_px is not None else 1,
            cache_content=work.store == "memory",
            part=self.part,
            # A step tells as much as a tile that is all of it.
            on_tile=None if tile_px is None else on_tile,
        )

    def borders(self, tile_px: int | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The rows and the columns at which another tile of this or of any process begins."""
        strip, deepest = self.part.strip, self.loss.deepest
        side_px = tile_px or max(strip.level.height, strip.level.width)
        cores = [tile.core for tile in strip.tiles(side_px, deepest.halo_px, deepest.stride_px)]
        own = {core.top for core in cores}, {core.left for core in cores}
        rows, columns = (set().union(*each) for each in zip(*self.part.group.gathered(own), strict=True))
        return tuple(sorted(rows - {0})), tuple(sorted(columns - {0}))


def optimise(
    work: Work,
    judgement: Judgement,
    start: Raster,
    run: Run,
    *,
    optimiser: Optimiser,
    machine: Machine,
    warnings: tuple[str, ...] = (),
) -> Rendered | Stopped:
    """The optimised image, from the start or from where an interrupted run had come to.

    Where the device is out of memory, smaller tiles than the plan's are used, from then on and when the run
    is resumed, and the record says so.

    Raises:
        PipelineError: The loss cannot be followed; the disk is full; the state that was kept is damaged.
        StoppedError: It was asked to stop before it had begun or gone on.
    """
    part = judgement.part
    checkpoint: Checkpoint | None = None
    memory = torch.device("cpu") if work.store == "host" else machine.device
    workspace: Workspace = MemoryWorkspace(machine.device, memory)
    tile_px = work.tile_core_px
    if run.state is not None:
        with part.group.together():
            files = FolderWorkspace(part.group.folder(run.state), machine.device)
            checkpoint = Checkpoint(
                files, run.key, tile_px=tile_px, store=work.store, group=part.group, folder=run.state
            )
        tile_px = checkpoint.tile_px
        workspace = files if work.store == "files" else workspace

    def on_shrunk(smaller_px: int) -> None:
        nonlocal tile_px
        tile_px = smaller_px
        if checkpoint is not None:
            checkpoint.tile_px = smaller_px

    def show(image: Raster) -> None:
        if run.previews is not None:
            run.previews.show(image, work.size, part, run.check)

    pace = Pace(work.iterations, optimiser.check_last_step, run.on_share)

    def report(step: Step) -> None:
        pace.step(step)
        run.on_progress(step)

    result = minimise(
        Shrinking(
            lambda side_px: judgement.by_tiles(side_px, work, pace.tile),
            part.strip.size,
            tile_px,
            smallest_px=SMALLEST_TILE_PX,
            device=machine.device,
            on_shrunk=on_shrunk,
            group=part.group,
        ),
        Cutout(start, part.strip.held),
        _settings(optimiser, work.iterations),
        workspace=workspace,
        checkpoint=checkpoint,
        on_progress=report,
        on_image=None if run.previews is None else show,
        should_stop=run.should_stop,
        part=part,
    )
    done = result.work
    if result.ending == "stopped":
        return Stopped(done.iteration)
    row_borders, column_borders = judgement.borders(tile_px)
    record = RenderingRecord(
        level=provenance.LevelRecord(
            level_px=work.level_px,
            height_px=work.size.height,
            width_px=work.size.width,
            tile_px=tile_px,
            iterations=done.iteration,
            passes=done.passes,
            loss_first=result.trace[0].loss,
            loss_last=result.loss,
            seconds=done.seconds,
            peak_memory_mib=provenance.peak_memory_mib(),
        ),
        precision=machine.precision,
        device={**provenance.device_facts(str(machine.device)), "processes": part.group.count},
        versions=provenance.versions(),
        ending=result.ending,
        warnings=(*warnings, *_deviation(work.tile_core_px, tile_px)),
        trace=tuple(
            TracePoint(iteration=s.iteration, passes=s.passes, loss=s.loss, terms=s.terms)
            for s in result.trace
        ),
        row_borders=row_borders,
        column_borders=column_borders,
    )
    return Rendered(work.size, record, result.store, checkpoint, part)


def _deviation(planned_px: int | None, used_px: int | None) -> Iterator[str]:
    if used_px != planned_px:
        planned = "the whole image" if planned_px is None else f"tiles of {planned_px} px"
        yield f"computed by tiles of {used_px} px instead of {planned}, for which there was too little memory"


def _settings(optimiser: Optimiser, iterations: int) -> Settings:
    if optimiser.method == "adam":
        return Adam(
            iterations, optimiser.learning_rate_grey_levels, check_last_step=optimiser.check_last_step
        )
    return Lbfgs(
        iterations,
        history=optimiser.history,
        history_dtype=torch.bfloat16 if optimiser.history_precision == "bfloat16" else torch.float32,
        first_step_grey_levels=optimiser.first_step_grey_levels,
        hessian_scales=optimiser.hessian_scales or None,
        check_last_step=optimiser.check_last_step,
    )
