"""A network paints a large image in as much memory as a small one."""

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

from transformation_networks import make_network

from pipeline.feedforward.streaming import StreamedApplication
from pipeline.geometry import Size
from pipeline.workspaces import FolderWorkspace


class Pattern:
    def __init__(self, size, channels):
        self.size, self.channels = size, channels

    def read(self, box):
        rows = torch.arange(box.top, box.bottom).view(1, -1, 1)
        columns = torch.arange(box.left, box.right).view(1, 1, -1)
        return 0.5 + 0.5 * torch.sin(0.02 * (rows + 1.7 * columns)).expand(self.channels, -1, -1)


def peak_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


torch.set_num_threads(1)
told = []
for side_px in (384, 1920):
    size = Size(side_px, side_px)
    streamed = StreamedApplication(make_network(), Pattern(size, 3), Pattern(size, 2), tile_px=128)
    folder = Path(sys.argv[1]) / str(side_px)
    streamed.settle(FolderWorkspace(folder, torch.device("cpu")))
    for _ in streamed.painted_boxes():
        pass
    told.append(peak_mib())
print(json.dumps(told))
"""


@pytest.mark.slow
def test_twenty_five_times_the_pixels_take_no_more_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    small, large = json.loads(done.stdout)
    # The three held layers of the large image would be 32 MiB more, its colours 42, a full-sized layer 42.
    assert large < small + 16
