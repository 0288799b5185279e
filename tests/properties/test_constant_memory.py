"""Refinement from files takes as much memory for a large image as for a small one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
from pathlib import Path

import torch

sys.path.insert(0, sys.argv[2])

from networks import SMALL, make_encoder

from pipeline.geometry import Box, Size
from pipeline.losses import ContentTerm, GramTerm, Loss
from pipeline.objective import TiledObjective
from pipeline.optimiser import Lbfgs, minimise, sweeps
from pipeline.workspaces import FolderWorkspace


class Pattern:
    def __init__(self, size, phase):
        self.size, self.phase = size, phase

    def read(self, box):
        rows = torch.arange(box.top, box.bottom).view(1, -1, 1)
        columns = torch.arange(box.left, box.right).view(1, 1, -1)
        return 0.5 + 0.5 * torch.sin(self.phase * (rows + 1.7 * columns)).expand(3, -1, -1)


def peak_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def refine(side_px, folder):
    size = Size(side_px, side_px)
    layers = [SMALL.layer(name) for name in ("relu1_1", "relu2_1")]
    target = {layer: torch.eye(layer.channels) for layer in layers}
    loss = Loss((ContentTerm(layers[1]), *(GramTerm(layer, None, 1.0, target[layer]) for layer in layers)))
    encoder = make_encoder(dtype=torch.float32)
    objective = TiledObjective(
        encoder, loss, size, tile_px=128, content=Pattern(size, 0.01), cache_content=False
    )
    workspace = FolderWorkspace(folder, torch.device("cpu"))
    result = minimise(objective, Pattern(size, 0.02), Lbfgs(2, history=2), workspace=workspace)
    assert result.trace[-1].iteration == 2
    # Beside the result nothing is left: it is about to be written again as an image.
    assert [path.name for path in folder.iterdir()] == [result.store.path.name]
    return sum(path.stat().st_size for path in folder.iterdir()) / 2**20


torch.set_num_threads(1)
# Several tiles, with halos, in the small image already.
sweeps._MAX_TILE_PX["cpu"] = 192
told = []
for side_px in (512, 1792):
    disk_mib = refine(side_px, Path(sys.argv[1]) / str(side_px))
    told.append([disk_mib, peak_mib()])
print(json.dumps(told))
"""


@pytest.mark.slow
def test_twelve_times_the_pixels_take_no_more_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (small_disk, small_peak), (large_disk, large_peak) = json.loads(done.stdout)
    assert large_disk == 12.25 * small_disk
    # One vector of the large image held in memory would be 34 MiB more.
    assert large_peak < small_peak + 20
