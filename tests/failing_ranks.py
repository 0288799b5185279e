"""Two processes, one of which fails by itself now and then: `failing_ranks.py FOLDER`, as torchrun starts it.

Each writes as JSON, `FOLDER/failing-N.json`, what it met where; a process that is left waiting gives up soon.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from networks import SMALL, make_encoder, make_image
from torch import Tensor

from pipeline import distributed, objective
from pipeline.errors import PipelineError, ResourceError
from pipeline.geometry import Box, Size
from pipeline.groups import Group, Part
from pipeline.losses import ContentTerm, GramTerm, Loss
from pipeline.objective import Objective, TiledObjective
from pipeline.rasters import Cutout, TensorRaster
from pipeline.rendering.shrinking import Shrinking
from pipeline.stores import TensorStore
from pipeline.strips import deal
from pipeline.workspaces import MemoryWorkspace

CPU = torch.device("cpu")
# Dealt to two, one holds 128 rows and the other 112.
SIZE = Size(176, 32)
HALO_PX = 32
LAYER = SMALL.layer("relu2_1")
LOSS = Loss((ContentTerm(LAYER, 2.0), GramTerm(LAYER, None, 0.3, torch.eye(LAYER.channels))))
CONTENT = TensorRaster(make_image(SIZE.height, SIZE.width, seed=1))
IMAGE = make_image(SIZE.height, SIZE.width, seed=2)
SHORT = torch.OutOfMemoryError("CUDA out of memory")
REFUSED = ResourceError("disk", expected="room", found="none")


@contextmanager
def failing(owner: Any, name: str, error: Exception, *, here: bool) -> Iterator[None]:
    """The next call of `owner.name` raises the error, in the process where it is to."""
    kept = getattr(owner, name)

    def fail(*_: Any, **__: Any) -> Any:
        setattr(owner, name, kept)
        raise error

    if here:
        setattr(owner, name, fail)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def met(group: Group, work: Callable[[], object]) -> list[Any]:
    """What the work raised, and whether all still take the same steps."""
    try:
        work()
        raised = "nothing"
    except (RuntimeError, PipelineError) as error:
        raised = f"{type(error).__name__}: {error}"
    return [raised, group.gathered(group.rank)]


def main() -> None:
    """Runs it."""
    torch.set_num_threads(1)
    distributed._PATIENCE = timedelta(seconds=20)
    with distributed.joined() as group:
        found = run(group, second=group.rank == 1)
        path = Path(sys.argv[1]) / f"failing-{group.rank}.json"
        path.write_text(json.dumps(found), encoding="utf-8")


def run(group: Group, *, second: bool) -> dict[str, object]:
    """What came of each failure."""
    part = Part(deal(SIZE, 2, HALO_PX, 16)[group.rank], group)
    found: dict[str, object] = {}

    def share() -> None:
        part.share(TensorStore.of(torch.zeros(3, part.strip.size.height, SIZE.width)))

    with failing(torch, "empty_like", SHORT, here=second):
        found["halos"] = met(group, share)
    with failing(torch, "empty_like", SHORT, here=second):
        found["sums"] = met(group, lambda: group.sum(torch.ones(3)))

    def blocks(fails: bool) -> Iterator[Tensor]:
        yield torch.zeros(2, 4, 3)
        if fails:
            raise REFUSED
        yield torch.zeros(2, 4, 3)

    def collect(fails: bool) -> None:
        list(group.collected(blocks(fails)))

    found["rows"] = met(group, partial(collect, second))
    found["leader's rows"] = met(group, partial(collect, not second))
    return found | shrunk(group, part, second=second)


def shrunk(group: Group, part: Part, *, second: bool) -> dict[str, object]:
    """The same of an objective whose tiles shrink for all when one is out of memory."""
    encoder = make_encoder()
    image = Cutout(TensorRaster(IMAGE), part.strip.held)
    told: list[int] = []

    def make(side_px: int | None) -> Objective:
        return TiledObjective(encoder, LOSS, SIZE, tile_px=side_px or SIZE.height, content=CONTENT, part=part)

    def shrinking(tile_px: int | None = 64) -> Shrinking:
        return Shrinking(
            make, part.strip.size, tile_px, smallest_px=16, device=CPU, on_shrunk=told.append, group=group
        )

    judge = shrinking()
    gradient = MemoryWorkspace(CPU).new("gradient", 3, part.strip.size, torch.float64)
    with failing(TiledObjective, "_judged", SHORT, here=second):
        trial = judge.forward(image, gradient_follows=True)
    with failing(objective, "_numbers", SHORT, here=not second):
        trial.write_gradient(gradient)
    strip = part.strip
    own = gradient.read(strip.local(Box(strip.top, 0, strip.bottom, SIZE.width)))
    found: dict[str, object] = {"shrunk": list(told), "loss": trial.loss, "gradient": own.tolist()}
    trial = shrinking().forward(image)
    with (
        failing(objective, "_seen", SHORT, here=second),
        failing(TensorStore, "clear", REFUSED, here=second),
    ):
        found["cleared"] = met(group, lambda: trial.write_gradient(gradient))
    told.clear()
    with failing(TiledObjective, "_judged", SHORT, here=second):
        shrinking(None).forward(image)
    return found | {"shrunk whole": told}


if __name__ == "__main__":
    main()
