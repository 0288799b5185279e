"""Networks of Johnson's type, in the layer names of PyTorch's example, against that network written out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from networks import make_image
from safetensors.torch import save_file
from torch.nn.functional import conv2d, instance_norm, interpolate, pad
from transformation_networks import johnson_state
from transformation_networks import painted as painted_by_boxes

from pipeline.errors import WeightsError
from pipeline.feedforward.importing import read_johnson
from pipeline.feedforward.streaming import StreamedApplication
from pipeline.geometry import Size
from pipeline.rasters import TensorRaster
from pipeline.workspaces import MemoryWorkspace


def painted(tensors: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    """Their network: colours from 0 to 255 in and out, every convolution behind a reflected border."""

    def convolved(name: str, values: torch.Tensor, stride: int = 1) -> torch.Tensor:
        weight, bias = tensors[f"{name}.conv2d.weight"], tensors[f"{name}.conv2d.bias"]
        border = weight.shape[-1] // 2
        return conv2d(pad(values, [border] * 4, mode="reflect"), weight, bias, stride)

    def normalised(name: str, values: torch.Tensor) -> torch.Tensor:
        return instance_norm(values, weight=tensors[f"{name}.weight"], bias=tensors[f"{name}.bias"])

    values = (255 * image)[None]
    for number, stride in ((1, 1), (2, 2), (3, 2)):
        values = normalised(f"in{number}", convolved(f"conv{number}", values, stride)).relu()
    for block in range(1, 6):
        inner = normalised(f"res{block}.in1", convolved(f"res{block}.conv1", values)).relu()
        values = values + normalised(f"res{block}.in2", convolved(f"res{block}.conv2", inner))
    for number in (1, 2):
        larger = interpolate(values, scale_factor=2, mode="nearest")
        values = normalised(f"in{number + 3}", convolved(f"deconv{number}", larger)).relu()
    return convolved("deconv3", values)[0] / 255


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_it_paints_what_theirs_paints(tmp_path: Path, kind: str) -> None:
    path, tensors = tmp_path / f"mosaic.{kind}", johnson_state()
    if kind == "pth":
        # Old files have running moments, which nothing reads.
        torch.save({**tensors, "in1.running_mean": torch.zeros(32)}, path)
    else:
        save_file(tensors, path)
    network = read_johnson(path).eval()
    image = make_image(44, 72, 0, dtype=torch.float32)
    with torch.no_grad():
        found = network(image[None])[0]
    torch.testing.assert_close(found, painted(tensors, image), rtol=0, atol=2e-4)


def test_tiles_of_it_are_the_whole(tmp_path: Path) -> None:
    """Borders are reflected at every layer, in tiles as in the whole."""
    save_file(johnson_state(), tmp_path / "mosaic.safetensors")
    network = read_johnson(tmp_path / "mosaic.safetensors").eval()
    image = make_image(137, 150, 0, dtype=torch.float32)
    with torch.no_grad():
        expected = network(image[None])[0]
    streamed = StreamedApplication(network, TensorRaster(image), None, tile_px=64)
    streamed.settle(MemoryWorkspace(torch.device("cpu")))
    found = painted_by_boxes(streamed)
    assert Size(*found.shape[1:]) == Size(137, 150)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def without(tensors: dict[str, torch.Tensor]) -> object:
    return {name: value for name, value in tensors.items() if name != "res3.in1.bias"}


def reshaped(tensors: dict[str, torch.Tensor]) -> object:
    return {**tensors, "conv2.conv2d.bias": torch.zeros(63)}


def besides(tensors: dict[str, torch.Tensor]) -> object:
    return {**tensors, "conv4.conv2d.bias": torch.zeros(64)}


def numbered(tensors: dict[str, torch.Tensor]) -> object:
    return dict(enumerate(tensors.values()))


def wrapped(tensors: dict[str, torch.Tensor]) -> object:
    return {"state_dict": tensors}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without, "res3.in1.bias among them; found none of that name"),
        (reshaped, "expected conv2.conv2d.bias of shape (64,); found (63,)"),
        (besides, "found conv4.conv2d.bias besides"),
        (numbered, "that is not a state dictionary: 0 is a name in it"),
        (wrapped, "that is not a state dictionary: 'state_dict' is a dict in it"),
        (lambda _: [1, 2], "found a PyTorch file that is not a state dictionary."),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object], said: str
) -> None:
    path = tmp_path / "other.pth"
    torch.save(change(johnson_state()), path)
    with pytest.raises(WeightsError, match=re.escape(said)):
        read_johnson(path)


@pytest.mark.parametrize("name", ["text.pth", "text.safetensors", "gone.pth", "empty.pth"])
def test_files_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.pth").write_text("no weights " * 99, encoding="utf-8")
    (tmp_path / "text.safetensors").write_text("no weights " * 99, encoding="utf-8")
    (tmp_path / "empty.pth").touch()
    with pytest.raises(WeightsError, match="expected a network in the names of PyTorch's example"):
        read_johnson(tmp_path / name)


def test_texts_that_begin_as_pickles_do_are_refused(tmp_path: Path) -> None:
    """An error page saved under a network's name: pickle runs its letters, and R takes what is not there."""
    path = tmp_path / "mosaic.pth"
    rests = (b"equest failed: no such file.\n", b"<!DOCTYPE html>\n", b"\x80\x02(oh no\n12\nR)e.t")
    for first, rest in itertools.product(range(256), rests):
        path.write_bytes(bytes([first]) + 9 * rest)
        with pytest.raises(WeightsError, match="expected a network in the names of PyTorch's example"):
            read_johnson(path)
