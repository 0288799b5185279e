"""Runs of the optimiser that are killed at random moments: `interruption.py FOLDER`.

For each place where vectors live, `files` and `memory`, and each method: a run goes on from its checkpoint
until an event (a call that changes a file, or a tile of the objective) is the one at which it kills itself;
another follows, until one ends. Prints as JSON, by place and method, how many were killed, and what the
last one and an uninterrupted one came to.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.checkpoint import Checkpoint
from pipeline.geometry import Box, Size
from pipeline.optimiser import Adam, Lbfgs, Result, minimise
from pipeline.rasters import Raster
from pipeline.stores import Store
from pipeline.workspaces import FolderWorkspace, MemoryWorkspace, Workspace

CPU = torch.device("cpu")
SIZE = Size(48, 64)
METHODS: dict[str, Lbfgs | Adam] = {
    "lbfgs": Lbfgs(9, history=3, first_step_grey_levels=2550.0),
    "adam": Adam(9),
}
# Between two kills: few enough for 20 of them, and enough to get on. A state in memory is written again as a
# whole by the run that goes on from it.
_MOST_EVENTS = {
    ("files", "lbfgs"): 60,
    ("files", "adam"): 60,
    ("memory", "lbfgs"): 100,
    ("memory", "adam"): 40,
}
_CALLS = ("pwrite", "fsync", "replace", "unlink")


def noise(size: Size, seed: int) -> Float[Tensor, "3 height width"]:
    """Noise in [0, 1]."""
    return torch.rand(3, size.height, size.width, generator=torch.Generator().manual_seed(seed))


@dataclass
class Bowl:
    """A convex function of every pixel by itself, evaluated by tiles: 16 rows at a time, haloed or not."""

    size: Size = SIZE
    on_tile: Callable[[], None] = lambda: None
    boxes: list[Box] = field(init=False)

    def __post_init__(self) -> None:
        self.minimum = noise(self.size, 1)
        self.curvature = 1.0 + 99.0 * noise(self.size, 2)
        self.boxes = [
            Box(top, 0, min(top + 16, self.size.height), self.size.width)
            for top in range(0, self.size.height, 16)
        ]

    def forward(self, image: Raster, *, gradient_follows: bool = False) -> BowlTrial:
        """The loss at this image."""
        loss = sum(self._loss(image, box) for box in self.boxes)
        return BowlTrial(self, image, loss, {"bowl": loss})

    def _loss(self, image: Raster, box: Box) -> float:
        self.on_tile()
        offset = image.read(box) - self.part(self.minimum, box)
        curvature = self.part(self.curvature, box)
        return (curvature * (offset**2 + offset**4)).sum(dtype=torch.float64).item()

    def part(self, values: Float[Tensor, "3 height width"], box: Box) -> Float[Tensor, "3 rows columns"]:
        """What is inside the box."""
        rows, columns = box.slices
        return values[:, rows, columns]


@dataclass
class BowlTrial:
    """Its loss at one image."""

    objective: Bowl
    image: Raster
    loss: float
    terms: dict[str, float]

    def write_gradient(self, into: Store) -> None:
        """Adds the tiles' gradients, each with a halo of zeros."""
        for box in self.objective.boxes:
            self.objective.on_tile()
            haloed = box.grown(16, within=self.objective.size)
            rows, columns = box.relative_to(haloed).slices
            share = torch.zeros(3, haloed.size.height, haloed.size.width)
            offset = self.image.read(box) - self.objective.part(self.objective.minimum, box)
            curvature = self.objective.part(self.objective.curvature, box)
            share[:, rows, columns] = curvature * (2 * offset + 4 * offset**3)
            into.add(haloed, share)


def facts(result: Result) -> dict[str, Any]:
    """What must not depend on interruptions: the image's bits and every step's numbers."""
    return {
        "image": hashlib.sha256(result.image.numpy().tobytes()).hexdigest(),
        "steps": [
            [step.iteration, step.forward_passes, step.gradient_passes, step.loss, step.step_length]
            for step in result.trace
        ],
        "ending": result.ending,
    }


def run(folder: Path, kind: str, method: str, **options: Any) -> Result:
    """A run that goes on from what is in the folder; one in memory is saved whenever it can be."""
    files = FolderWorkspace(folder, CPU)
    workspace: Workspace = files if kind == "files" else MemoryWorkspace(CPU)
    checkpoint = Checkpoint(files, f"{kind} {method}", every_s=0.0)
    objective = options.pop("objective", None) or Bowl()
    start = noise(SIZE, 3)
    return minimise(objective, start, METHODS[method], workspace=workspace, checkpoint=checkpoint, **options)


class Countdown:
    """Kills this process at the given event, half-way through it if it is a write."""

    def __init__(self, events: int) -> None:
        self.left = events
        self.calls = {name: getattr(os, name) for name in _CALLS}

    def install(self) -> None:
        """Counts the calls that change files."""
        for name in _CALLS:
            setattr(os, name, self._counted(name))

    def count(self) -> None:
        """Counts one event."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def _counted(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name == "pwrite" and self.left == 1:
                descriptor, data, offset = arguments
                self.calls[name](descriptor, data[: len(data) // 2], offset)
            self.count()
            return self.calls[name](*arguments, **options)

        return call


def killed_again_and_again(folder: Path, kind: str, method: str) -> tuple[int, dict[str, Any]]:
    """How often a run was killed before one ended, and what that came to."""
    folder.mkdir()
    chance = random.Random(7)
    killed = 0
    while True:
        events = chance.randint(1, _MOST_EVENTS[kind, method])
        child = os.fork()
        if child == 0:
            countdown = Countdown(events)
            countdown.install()
            result = run(folder / "killed", kind, method, objective=Bowl(on_tile=countdown.count))
            (folder / "result.json").write_text(json.dumps(facts(result)), encoding="utf-8")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return killed, json.loads((folder / "result.json").read_text(encoding="utf-8"))
        killed += 1


def main() -> None:
    """Kills runs of each kind and method; only then does this process compute, whose forks must be clean."""
    torch.set_num_threads(1)
    runs = {
        (kind, method): killed_again_and_again(Path(sys.argv[1]) / f"{kind}-{method}", kind, method)
        for kind, method in _MOST_EVENTS
    }
    expected = {name: facts(minimise(Bowl(), noise(SIZE, 3), METHODS[name])) for name in METHODS}
    told = {
        f"{kind} {method}": {"killed": killed, "found": found, "expected": expected[method]}
        for (kind, method), (killed, found) in runs.items()
    }
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main()
