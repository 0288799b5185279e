"""A small optimisation by several processes: `ranks.py FOLDER [OPTION=VALUE ...]`, as torchrun starts it.

Alone it is the same optimisation by one. Each process that comes to the end writes what it saw as JSON,
`FOLDER/rank-N.json`; the leader's holds the bits of the whole image.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from networks import SMALL, make_encoder, make_image

from pipeline.checkpoint import Checkpoint
from pipeline.distributed import joined
from pipeline.errors import PipelineError
from pipeline.geometry import Box, Size
from pipeline.groups import Group, Part
from pipeline.guidance import normalise
from pipeline.losses import ContentTerm, GramTerm, Loss, TotalVariationTerm
from pipeline.machine import stop_requests
from pipeline.objective import TiledObjective
from pipeline.optimiser import Adam, Lbfgs, Step, minimise
from pipeline.rasters import Cutout, TensorRaster
from pipeline.strips import deal
from pipeline.tiles import Tile
from pipeline.workspaces import FolderWorkspace, MemoryWorkspace

CPU = torch.device("cpu")
SIZE = Size(160, 48)
HALO_PX = 48
LAYERS = [SMALL.layer(name) for name in ("relu1_1", "relu3_1")]
CONTENT = SMALL.layer("relu4_1")


def main() -> None:
    """Runs it."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    options = dict(word.split("=") for word in sys.argv[2:])
    try:
        with stop_requests() as should_stop, joined() as group:
            found = run(group, folder, options, should_stop)
            (folder / f"rank-{group.rank}.json").write_text(json.dumps(found), encoding="utf-8")
    except PipelineError as error:
        (folder / f"rank-{os.environ.get('RANK', '0')}.txt").write_text(str(error), encoding="utf-8")
        sys.exit(2)


def run(
    group: Group, folder: Path, options: dict[str, str], should_stop: Callable[[], bool]
) -> dict[str, object]:
    """What came of it."""
    content = TensorRaster(make_image(SIZE.height, SIZE.width, seed=1))
    channels = TensorRaster(make_image(SIZE.height, SIZE.width, seed=2, channels=2))
    guidance = normalise(channels, LAYERS, [Tile.whole(SIZE)], ["a", "b"])
    targets = {layer: make_image(layer.channels, layer.channels, 9, channels=1)[0] for layer in LAYERS}
    loss = Loss(
        (
            ContentTerm(CONTENT, 2.0),
            TotalVariationTerm(1e-2),
            *(GramTerm(layer, None, 0.1, targets[layer]) for layer in LAYERS),
            *(GramTerm(layer, region, 0.3, targets[layer]) for layer in LAYERS for region in (0, 1)),
        )
    )
    part = Part(deal(SIZE, group.count, HALO_PX, 16)[group.rank], group)
    objective = TiledObjective(
        make_encoder(), loss, SIZE, tile_px=32, content=content, guidance=guidance, keep_tiles=2, part=part
    )
    state = folder / "state"
    files = FolderWorkspace(group.folder(state), CPU)
    seen: list[Step] = []

    def on_progress(step: Step) -> None:
        seen.append(step)
        if options.get("dies") == f"{group.rank}" and step.iteration == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    def asked() -> bool:
        # One of them alone is asked, in the middle of an iteration.
        alone = options.get("stops") == f"{group.rank}" and bool(seen) and seen[-1].iteration >= 4
        return alone or should_stop()

    settings = Adam(6) if options.get("method") == "adam" else Lbfgs(6, history=3)
    start = Cutout(TensorRaster(make_image(SIZE.height, SIZE.width, seed=3)), part.strip.held)
    result = minimise(
        objective,
        start,
        settings,
        workspace=files if options.get("store") == "files" else MemoryWorkspace(CPU),
        checkpoint=Checkpoint(files, "key", group=group, folder=state, every_s=0.0),
        on_progress=on_progress,
        should_stop=asked,
        part=part,
    )
    strip = part.strip
    own = strip.local(Box(strip.top, 0, strip.bottom, SIZE.width))
    blocks = list(group.collected([result.store.read(own).permute(1, 2, 0).float().contiguous()]))
    return {
        "losses": [step.loss for step in result.trace],
        "steps": [[step.iteration, step.forward_passes, step.gradient_passes] for step in result.trace],
        "ending": result.ending,
        "rows": [strip.top, strip.bottom],
        "image": torch.cat(blocks).flatten().tolist() if group.leads else None,
        "bits": hashlib.sha256(result.store.read(own).contiguous().numpy().tobytes()).hexdigest(),
    }


if __name__ == "__main__":
    main()
