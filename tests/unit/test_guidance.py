from __future__ import annotations

import pytest
import torch
from networks import make_image
from torch import Tensor

from pipeline.geometry import Size
from pipeline.guidance import coverage, energy, normalise, over_core, propagate
from pipeline.layers import VGG16
from pipeline.losses import GramTerm, Loss, Observation
from pipeline.rasters import TensorRaster
from pipeline.tiles import Tile, cut

FULL, HALF = VGG16.layer("relu1_1"), VGG16.layer("relu2_1")
CHANNEL = torch.tensor([[[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.5]]], dtype=torch.float64)


def raster(values: Tensor) -> TensorRaster:
    return TensorRaster(values)


def whole(values: Tensor) -> tuple[Tile, ...]:
    return (Tile.whole(Size(*values.shape[1:])),)


def test_a_channel_is_averaged_over_the_pixels_of_each_unit() -> None:
    assert propagate(CHANNEL, FULL).tolist() == CHANNEL.tolist()
    assert propagate(CHANNEL, HALF).tolist() == [[[0.75, 0.125]]]


def test_energy_is_the_sum_of_squares_at_each_layer() -> None:
    energies = energy(raster(CHANNEL), [FULL, HALF], whole(CHANNEL))
    assert {name: total.tolist() for name, total in energies.items()} == {
        "relu1_1": [3.25],
        "relu2_1": [0.75**2 + 0.125**2],
    }


def test_coverage_is_the_share_of_the_area() -> None:
    assert coverage(raster(CHANNEL), whole(CHANNEL)).tolist() == [3.5 / 8]


def test_normalised_channels_have_a_mean_square_of_one() -> None:
    channels = torch.cat([CHANNEL, torch.full_like(CHANNEL, 0.25)]).repeat(1, 4, 4)
    tiles = whole(channels)
    guidance = normalise(raster(channels), [FULL, HALF], tiles, ["a", "b"])
    for channel in guidance.at([FULL, HALF], tiles[0]).values():
        torch.testing.assert_close(
            channel.square().mean(dim=(1, 2)), torch.ones(2, dtype=torch.float64), rtol=1e-14, atol=0
        )
    assert guidance.at([FULL], tiles[0])["relu1_1"][1].tolist() == [[1.0] * 16] * 8


def test_a_channel_of_ones_stays_ones() -> None:
    ones = torch.ones(1, 4, 4, dtype=torch.float64)
    guidance = normalise(raster(ones), [HALF], whole(ones), ["everything"])
    assert guidance.at([HALF], whole(ones)[0])["relu2_1"].tolist() == [[[1.0, 1.0], [1.0, 1.0]]]
    assert guidance.warnings == ()


def test_tiles_give_the_channels_of_the_whole() -> None:
    channels = make_image(48, 64, seed=0, channels=2)
    layers = [VGG16.layer(name) for name in ("relu1_1", "relu4_2", "relu5_1")]
    tiles = cut(Size(48, 64), core_px=32, halo_px=16, stride_px=16)
    streamed = normalise(raster(channels), layers, tiles, ["a", "b"])
    at_once = normalise(raster(channels), layers, whole(channels), ["a", "b"])
    reference = at_once.at(layers, whole(channels)[0])
    for tile in tiles:
        for layer in layers:
            rows, columns = tile.core.divided(layer.stride_px).slices
            torch.testing.assert_close(
                streamed.at([layer], tile)[layer.name],
                reference[layer.name][:, rows, columns],
                rtol=1e-13,
                atol=0,
            )


def test_a_region_smaller_than_a_unit_vanishes_there_with_a_warning() -> None:
    channels = torch.zeros(2, 32, 32, dtype=torch.float64)
    channels[0] = 1
    channels[1, :4, :4] = 1
    layers = [FULL, VGG16.layer("relu4_1")]
    guidance = normalise(raster(channels), layers, whole(channels), ["all", "dot"])
    assert guidance.vanished == {("relu4_1", 1)}
    # 16 of the 64 pixels of one unit: T = 1/4, T^2 = 1/16.
    assert guidance.warnings == (
        "region dot covers 0.062 of one unit of relu4_1 at 32x32 px; it is not styled at this layer",
    )
    assert guidance.scales["relu4_1"].tolist() == [1, 0]
    assert guidance.scales["relu1_1"].tolist() == [1, pytest.approx((1024 / 16) ** 0.5, rel=1e-14)]


def test_a_region_of_exactly_one_unit_stays() -> None:
    channels = torch.zeros(1, 32, 32, dtype=torch.float64)
    channels[0, :8, :8] = 1
    assert not normalise(raster(channels), [VGG16.layer("relu4_1")], whole(channels), ["one"]).vanished


def test_an_empty_channel_gives_no_infinity() -> None:
    channels = torch.zeros(1, 16, 16, dtype=torch.float64)
    guidance = normalise(raster(channels), [FULL], whole(channels), ["nowhere"])
    assert guidance.at([FULL], whole(channels)[0])["relu1_1"].abs().max().item() == 0
    assert guidance.vanished == {("relu1_1", 0)}


def test_the_core_of_a_haloed_tile_is_what_is_returned() -> None:
    channels = make_image(32, 64, seed=0, channels=1)
    tile = cut(Size(32, 64), core_px=32, halo_px=16, stride_px=16)[1]
    given = over_core(raster(channels), [FULL], tile)["relu1_1"]
    assert torch.equal(given, channels[:, :, 32:])


def test_the_guided_gram_does_not_depend_on_the_area_of_the_region() -> None:
    """Two images, the same texture in a small and in a large region: the same guided Gram."""
    texture = make_image(8, 8, seed=0, channels=64)
    grams = []
    for repeats in (1, 3):
        features = torch.zeros(1, 64, 8, 32, dtype=torch.float64)
        features[0, :, :, : 8 * repeats] = texture.repeat(1, 1, repeats)
        channels = torch.zeros(1, 8, 32, dtype=torch.float64)
        channels[:, :, : 8 * repeats] = 1
        tiles = whole(channels)
        guides = normalise(raster(channels), [FULL], tiles, ["r"]).at([FULL], tiles[0])
        target = torch.zeros(64, 64, dtype=torch.float64)
        loss = Loss((GramTerm(FULL, 0, 1.0, target),))
        sums = loss.measure(Observation({"relu1_1": features}, guides, {}))
        grams.append(next(iter(sums.values())) / (8 * 32))
    torch.testing.assert_close(grams[0], grams[1], rtol=1e-13, atol=0)
    torch.testing.assert_close(grams[0], texture.flatten(1) @ texture.flatten(1).T / 64, rtol=1e-13, atol=0)
