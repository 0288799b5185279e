from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import make_image
from torch.nn import functional
from transformation_networks import SMALL, make_network

from pipeline.feedforward.network import TransformationNetwork, outward
from pipeline.geometry import Box, Size
from pipeline.transformations import ARCHITECTURES, TransformationArchitecture, Upsampling


def test_the_authors_network_is_the_narrow_one() -> None:
    """c9s1-16, d32, d64, R64 x 5, u32, u16, c9s1-3."""
    layers = ARCHITECTURES["narrow"].layers(5, "transposed")
    told = [(layer.name, layer.inputs, layer.outputs, layer.kernel, layer.stride) for layer in layers]
    blocks = [(f"r{block}{part}", 64, 64, 3, 1) for block in range(1, 6) for part in "ab"]
    ends = [("u1", 64, 32, 3, 1), ("u2", 32, 16, 3, 1), ("c2", 16, 3, 9, 1)]
    assert told == [("c1", 5, 16, 9, 1), ("d1", 16, 32, 3, 2), ("d2", 32, 64, 3, 2), *blocks, *ends]
    assert [layer.name for layer in layers if not layer.normalised] == ["c2"]
    assert ARCHITECTURES["narrow"].margin_px == 40
    assert ARCHITECTURES["wide"].layers(5, "nearest")[2].outputs == 128


def test_sizes_through_the_network() -> None:
    size, sizes = Size(256 + 80, 128 + 80), []
    for layer in ARCHITECTURES["narrow"].layers(5, "nearest"):
        size = layer.size_of(size)
        sizes.append((size.height, size.width))
    assert sizes[:3] == [(336, 208), (168, 104), (84, 52)]
    assert sizes[3:13] == [(84 - 2 * step, 52 - 2 * step) for step in range(1, 11)]
    assert sizes[13:] == [(128, 64), (256, 128), (256, 128)]


def test_work_per_pixel() -> None:
    # 5*16*81 + 16*32*9/4 + 32*64*9/16 + 10 * 64*64*9/16 + 64*32*9/16 + 32*16*9/4 + 16*3*81, by hand.
    assert ARCHITECTURES["narrow"].multiplications(5, "transposed") == 6480 + 3 * 1152 + 23040 + 1152 + 3888
    # A nearest-neighbour enlargement convolves four times as many positions.
    assert ARCHITECTURES["narrow"].multiplications(5, "nearest") == 6480 + 2 * 1152 + 23040 + 2 * 4608 + 3888


@pytest.mark.parametrize(
    ("box", "kind", "read"),
    [
        (Box(0, 5, 3, 8), "c1", Box(-4, 1, 7, 12)),
        (Box(0, 5, 3, 8), "d1", Box(-1, 9, 6, 16)),
        (Box(0, 5, 3, 8), "r1a", Box(0, 5, 5, 10)),
        (Box(0, 5, 3, 8), "u1", Box(-1, 2, 2, 5)),
    ],
)
def test_what_a_box_reads(box: Box, kind: str, read: Box) -> None:
    (layer,) = [layer for layer in SMALL.layers(5, "nearest") if layer.name == kind]
    assert layer.reads(box) == read


def test_sides_are_reflected_outwards() -> None:
    assert outward(5, 2).tolist() == [2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0, 1]
    assert outward(4, 1).tolist() == [1, 0, 1, 2, 3, 2]
    assert outward(2, 3).tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 1, 0]
    assert outward(1, 2).tolist() == [0] * 8


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
def test_the_whole_network_by_plain_functions(upsampling: Upsampling) -> None:
    """Written out from the paper: reflection by 16 px, two residual blocks, 150 tanh."""
    network = make_network(SMALL, upsampling=upsampling).double()
    image, guides = make_image(48, 40, seed=1), make_image(48, 40, seed=2, channels=2)
    given = dict(network.state_dict())

    def convolve(name: str, values: torch.Tensor, **how: int) -> torch.Tensor:
        weight, bias = given[f"convolutions.{name}.weight"], given[f"convolutions.{name}.bias"]
        if name.startswith("u") and upsampling == "transposed":
            return functional.conv_transpose2d(values, weight, bias, 2, 1, 1)
        if name.startswith("u"):
            values = values.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return functional.conv2d(values, weight, bias, **how)

    def normalise(name: str, values: torch.Tensor) -> torch.Tensor:
        weight, bias = given[f"normalisations.{name}.weight"], given[f"normalisations.{name}.bias"]
        mean, variance = values.mean(dim=(2, 3)), values.var(dim=(2, 3), correction=0)
        scaled = (values - mean[..., None, None]) / (variance[..., None, None] + 1e-5).sqrt()
        shifted: torch.Tensor = scaled * weight[:, None, None] + bias[:, None, None]
        return shifted

    joined = torch.cat([image, guides]).numpy()
    padded = np.pad(joined, [(0, 0), (16, 16), (16, 16)], mode="reflect")
    values = 2 * torch.from_numpy(padded)[None] - 1
    values = normalise("c1", convolve("c1", values, padding=4)).relu()
    values = normalise("d1", convolve("d1", values, stride=2, padding=1)).relu()
    values = normalise("d2", convolve("d2", values, stride=2, padding=1)).relu()
    for block in ("r1", "r2"):
        inside = normalise(f"{block}a", convolve(f"{block}a", values)).relu()
        values = values[:, :, 2:-2, 2:-2] + normalise(f"{block}b", convolve(f"{block}b", inside))
    values = normalise("u1", convolve("u1", values, padding=1)).relu()
    values = normalise("u2", convolve("u2", values, padding=1)).relu()
    values = convolve("c2", values, padding=4)
    mean = torch.tensor([123.68, 116.779, 103.939], dtype=torch.float64).view(3, 1, 1)
    expected = (mean + 150 * values.tanh()) / 255
    torch.testing.assert_close(network(image[None], guides[None]), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("height", "width"), [(5, 5), (3, 70), (41, 18)])
def test_any_size_comes_out_as_it_went_in(height: int, width: int) -> None:
    image = make_image(height, width, seed=0, dtype=torch.float32)[None]
    assert make_network(regions=1)(image).shape == image.shape


def test_one_region_needs_no_guide_and_several_need_theirs() -> None:
    image = make_image(8, 8, seed=0, dtype=torch.float32)[None]
    assert TransformationNetwork(SMALL, 1).layers[0].inputs == 3
    assert TransformationNetwork(SMALL, 3).layers[0].inputs == 6
    with pytest.raises(ValueError, match="needs 2 guidance channels; got none"):
        make_network()(image)
    with pytest.raises(ValueError, match="needs 0 guidance channels; got 1"):
        make_network(regions=1)(image, image[:, :1])


def test_a_regions_channel_changes_the_picture() -> None:
    image = make_image(40, 40, seed=0, dtype=torch.float32)[None]
    left = torch.zeros(1, 1, 40, 40)
    left[..., :20] = 1
    network = make_network(TransformationArchitecture("few", 2, 1))
    one, other = (network(image, torch.cat(pair, dim=1)) for pair in ((left, 1 - left), (1 - left, left)))
    assert (one - other).abs().mean() > 0.01


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
def test_one_image_has_the_gradient_that_it_has_among_others(upsampling: Upsampling) -> None:
    """In float32 and channels-last order; torch's own instance norm fails this for one image."""
    network = TransformationNetwork(SMALL, 2, upsampling)
    exact = TransformationNetwork(SMALL, 2, upsampling).double()
    exact.load_state_dict(network.state_dict())
    images = torch.stack([make_image(32, 32, seed, dtype=torch.float32) for seed in (0, 1)])
    guides = torch.stack([make_image(32, 32, seed, dtype=torch.float32)[:2] for seed in (2, 3)])

    def gradient(network: TransformationNetwork, batches: list[slice], dtype: torch.dtype) -> torch.Tensor:
        network.zero_grad(set_to_none=True)
        for batch in batches:
            painted = network(images[batch].to(dtype), guides[batch].to(dtype))
            (painted - images[batch].to(dtype)).square().sum().backward()
        found = [each.grad for name, each in network.named_parameters() if name.endswith("weight")]
        return torch.cat([each.flatten().double() for each in found if each is not None])

    expected = gradient(exact, [slice(0, 2)], torch.float64)
    for batches in ([slice(0, 2)], [slice(0, 1), slice(1, 2)]):
        found = gradient(network, batches, torch.float32)
        assert (found - expected).norm() < 1e-4 * expected.norm()
