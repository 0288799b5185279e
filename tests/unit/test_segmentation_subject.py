"""U-2-Net's wiring, against its layers written out one after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.errors import WeightsError
from pipeline.segmentation import subject
from pipeline.weights import IMAGENET, Preprocessing, Weights

WIDE, NARROW = 6, 4


def random_weights(seed: int = 0) -> Weights:
    """The network with 6 and 4 channels in place of 64 and 16."""
    random = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def add(name: str, out: int, into: int, side: int = 3) -> None:
        scale = (2 / (into * side * side)) ** 0.5
        tensors[f"{name}.weight"] = (random.standard_normal((out, into, side, side)) * scale).astype("f4")
        tensors[f"{name}.bias"] = (random.standard_normal(out) * 0.1).astype("f4")

    number = 0
    for index, depth in enumerate([7, 6, 5, 4, 4, 4, 4, 4, 5, 6, 7]):
        channels = [(WIDE, 3 if index == 0 else WIDE if index < 6 else 2 * WIDE), (NARROW, WIDE)]
        channels += [(NARROW, NARROW)] * (depth - 1) + [(NARROW, 2 * NARROW)] * (depth - 2)
        for out, into in [*channels, (WIDE, 2 * NARROW)]:
            add(f"{number:03d}", out, into)
            number += 1
    for side in range(1, 7):
        add(f"side{side}", 1, WIDE)
    add("outconv", 1, 6, 1)
    return Weights("subject", tensors, IMAGENET, "", {})


def written_out(x: Tensor, weights: Weights) -> Tensor:
    """The network by its authors' figure: RSU-7, 6, 5, 4, 4F, 4F down, 4F, 4, 5, 6, 7 up."""
    position = 0

    def conv(x: Tensor, dilation: int = 1) -> Tensor:
        nonlocal position
        name = f"{position:03d}"
        position += 1
        weight, bias = (torch.from_numpy(weights.tensors[f"{name}.{part}"]) for part in ("weight", "bias"))
        return torch.relu(functional.conv2d(x, weight, bias, padding=dilation, dilation=dilation))

    def pool(x: Tensor) -> Tensor:
        return functional.max_pool2d(x, 2, 2, ceil_mode=True)

    def up(x: Tensor, like: Tensor) -> Tensor:
        return functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)

    def rsu(depth: int) -> Callable[[Tensor], Tensor]:
        def run(x: Tensor) -> Tensor:
            start = conv(x)
            levels = [conv(start)]
            while len(levels) < depth - 1:
                levels.append(conv(pool(levels[-1])))
            y = conv(levels[-1], 2)
            y = conv(torch.cat([y, levels[-1]], 1))
            for level in levels[-2::-1]:
                y = conv(torch.cat([up(y, level), level], 1))
            return y + start

        return run

    def rsu_4f(x: Tensor) -> Tensor:
        start = conv(x)
        one = conv(start)
        two = conv(one, 2)
        three = conv(two, 4)
        four = conv(three, 8)
        three = conv(torch.cat([four, three], 1), 4)
        two = conv(torch.cat([three, two], 1), 2)
        return conv(torch.cat([two, one], 1)) + start

    down = [rsu(7)(x)]
    for block in (rsu(6), rsu(5), rsu(4), rsu_4f, rsu_4f):
        down.append(block(pool(down[-1])))
    sides = [down[5]]
    for block, level in zip((rsu_4f, rsu(4), rsu(5), rsu(6), rsu(7)), down[4::-1], strict=True):
        sides.append(block(torch.cat([up(sides[-1], level), level], 1)))
    maps: list[Tensor] = []
    for number, side in enumerate(reversed(sides), 1):
        weight, bias = (
            torch.from_numpy(weights.tensors[f"side{number}.{part}"]) for part in ("weight", "bias")
        )
        one_map = functional.conv2d(side, weight, bias, padding=1)
        maps.append(up(one_map, maps[0]) if maps else one_map)
    weight, bias = (torch.from_numpy(weights.tensors[f"outconv.{part}"]) for part in ("weight", "bias"))
    return torch.sigmoid(functional.conv2d(torch.cat(maps, 1), weight, bias))


def test_the_network_is_wired_as_its_authors_drew_it() -> None:
    weights = random_weights()
    x = torch.randn(1, 3, 70, 90, generator=torch.Generator().manual_seed(1))
    found = subject.saliency(x, weights)
    assert found.shape == (1, 1, 70, 90)
    assert found.std() > 0.01
    assert torch.allclose(found, written_out(x, weights), atol=1e-5)


def test_the_image_is_squashed_brightened_and_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def half(x: Tensor, _: Weights) -> Tensor:
        seen.append(x)
        return torch.full((1, 1, 320, 320), 0.5)

    monkeypatch.setattr(subject, "saliency", half)
    image = torch.full((3, 40, 60), 0.25)
    image[0] = 0.5
    found = subject.subject_probability(image, random_weights())
    assert found.shape == (40, 60)
    assert torch.equal(found, torch.full((40, 60), 0.5))
    assert seen[0].shape == (1, 3, 320, 320)
    assert seen[0][0, :, 5, 5].tolist() == pytest.approx(
        [(1 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225], abs=1e-5
    )


def test_tensors_of_another_network_are_one_line() -> None:
    for tensors in ({}, {"000.weight": np.zeros((2, 2, 3, 3), "f4"), "000.bias": np.zeros(2, "f4")}):
        with pytest.raises(WeightsError, match="subject: expected the tensors of U-2-Net") as error:
            subject.subject_probability(
                torch.rand(3, 8, 8), Weights("subject", tensors, Preprocessing(), "", {})
            )
        assert "\n" not in str(error.value)
