"""Peak anonymous memory of one evaluation at rising sizes: it must not grow with the image.

    python tests/benchmarks/evaluation_memory.py [--megapixels 4 16 64] [--shallow-megapixels 256]
        [--folder FOLDER] [--output FILE]

One evaluation as the product plans it with the default budget, vectors in files: a forward and a gradient
pass over an image in a file, its gradient into another. All layers, and layers to relu2_2. Anonymous memory
is what no file stands behind (RssAnon), read ten times a second by a thread of the process that evaluates,
one process for each size. Seeded random weights: their values do not change the work.

Tiles of a small image would come out smaller than those of a large one. What is compared is the image's
share, so sides are those at which all tiles are equal, as near to the megapixels as there are such.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from benching import AnonymousPeak, Results, Waves, anonymous_mib, parser, seeded_encoder, settle

from pipeline.budget import Demand, tiling
from pipeline.config.sections import Network, Optimiser
from pipeline.geometry import Size
from pipeline.layers import VGG16
from pipeline.losses import ContentTerm, GramTerm, Loss
from pipeline.objective import TiledObjective
from pipeline.pyramid import Level
from pipeline.workspaces import FolderWorkspace

SHALLOW = Network(style_layers=("relu1_1", "relu2_1"), content_layers=("relu2_2",))
GOALS = "goals: flat within 10 %, under 4096 MiB"


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--megapixels", type=int, nargs="*", default=[4, 16, 64])
    options.add_argument("--shallow-megapixels", type=int, nargs="*", default=[256])
    options.add_argument("--folder", type=Path, help="where the files lie meanwhile")
    options.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    machine = settle(arguments.threads)
    if arguments.one is not None:
        layers, count = arguments.one
        network = SHALLOW if layers == "shallow" else Network()
        if arguments.folder is not None:
            arguments.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            sys.stdout.write(json.dumps(_evaluate(int(count), network, Path(folder), machine.dtype)) + "\n")
        return
    title = f"peak anonymous memory of an evaluation, VGG-16, {machine.precision}"
    results = Results(title, arguments.output)
    results.say(
        f"{'layers':<10}{'MP':>6}{'size':>14}{'core':>7}{'peak MiB':>10}{'before MiB':>12}{'s/MP':>7}"
    )
    for layers, counts in (("all", arguments.megapixels), ("shallow", arguments.shallow_megapixels)):
        for count in counts:
            command = [sys.executable, __file__, "--threads", str(arguments.threads)]
            command += ["--one", layers, str(count)]
            if arguments.folder is not None:
                command += ["--folder", str(arguments.folder)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout)
            megapixels = found["megapixels"]
            results.say(
                f"{layers:<10}{megapixels:>6.1f}{found['size']:>14}{found['core_px']:>7}"
                f"{found['peak_mib']:>10.0f}{found['before_mib']:>12.0f}{found['seconds'] / megapixels:>7.2f}"
            )
    results.say(GOALS)
    results.save()


def _evaluate(megapixels: int, network: Network, folder: Path, dtype: torch.dtype) -> dict[str, object]:
    """What one evaluation took, in this process."""
    # The cut of a level far larger than memory, for all sizes.
    planned = tiling(Level(16384, Size(16384, 16384)), Demand(network, Optimiser(), 0, 1), 4096)
    assert planned.store == "files"
    assert planned.tile_core_px is not None
    around_px = 2 * planned.halo_px
    tiles = max(2, round(((megapixels * 1e6) ** 0.5 - around_px) / planned.tile_core_px))
    side_px = tiles * planned.tile_core_px + around_px
    size = Size(side_px, side_px)
    cpu = torch.device("cpu")
    encoder = seeded_encoder(dtype, cpu)
    layers = [VGG16.layer(name) for name in network.style_layers]
    grams = (GramTerm(layer, None, 1.0, torch.eye(layer.channels)) for layer in layers)
    contents = (ContentTerm(VGG16.layer(name)) for name in network.content_layers)
    workspace = FolderWorkspace(folder, cpu)
    objective = TiledObjective(
        encoder,
        Loss((*contents, *grams)),
        size,
        tile_px=planned.tile_core_px,
        content=Waves(size, 0.01, cpu),
        cache_content=False,
        keep_tiles=planned.keep_tiles,
    )
    image = workspace.hold("image", Waves(size, 0.02, cpu))
    gradient = workspace.new("gradient", 3, size, torch.float32)
    before_mib = anonymous_mib()
    with AnonymousPeak() as peak:
        started = time.perf_counter()
        objective.forward(image).write_gradient(gradient)
        seconds = time.perf_counter() - started
    return {
        "size": str(size),
        "megapixels": size.area / 1e6,
        "core_px": planned.tile_core_px,
        "peak_mib": peak.mib,
        "before_mib": before_mib,
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
