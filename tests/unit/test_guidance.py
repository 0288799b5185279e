from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import pytest
import torch
from networks import OxfordFormat, make_image, make_random_weights
from torch import Tensor
from torch.nn.functional import interpolate

from pipeline.features import Encoder
from pipeline.geometry import Box, Size
from pipeline.guidance import Coverage, Propagation, normalise, over_core, propagate, survey
from pipeline.layers import VGG16, VGG19, Layer
from pipeline.losses import GramTerm, Loss, Observation
from pipeline.rasters import Raster, TensorRaster
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
    found = survey(raster(CHANNEL), [FULL, HALF], whole(CHANNEL)).totals
    assert {name: total.energy.tolist() for name, total in found.items()} == {
        "relu1_1": [3.25],
        "relu2_1": [0.75**2 + 0.125**2],
    }
    assert {name: total.sum.tolist() for name, total in found.items()} == {
        "relu1_1": [3.5],
        "relu2_1": [0.875],
    }


def coverage(channels: Raster, tiles: Sequence[Tile]) -> Coverage:
    found = survey(channels, [], tiles).coverage
    # Layers that look around a tile change nothing of it.
    assert survey(channels, [VGG16.layer("relu2_1")], tiles, Propagation("all")).coverage == found
    return found


def test_coverage_tells_what_no_region_has_and_what_several_have() -> None:
    assert coverage(raster(CHANNEL), whole(CHANNEL)) == Coverage(1 - 3.5 / 8, 0)
    twice = torch.cat([CHANNEL, CHANNEL])
    # Of the pixels' sums of 2, 2, 2 and 1, three lie in one region too many.
    assert coverage(raster(twice), whole(CHANNEL)) == Coverage(4 / 8, 3 / 8)
    large = torch.rand(2, 32, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    one, many = whole(large), cut(Size(32, 48), 16, 0, 16)
    assert coverage(raster(large), many).uncovered == pytest.approx(coverage(raster(large), one).uncovered)


def test_everything_about_a_level_is_known_from_one_reading_of_each_tile() -> None:
    read: list[Box] = []

    class Counted:
        size = Size(32, 48)

        def read(self, box: Box) -> Tensor:
            read.append(box)
            return values[:, box.slices[0], box.slices[1]]

    values = torch.rand(2, 32, 48, generator=torch.Generator().manual_seed(2))
    tiles = cut(Size(32, 48), 16, 0, 16)
    guidance = normalise(Counted(), [FULL, HALF], tiles, ["a", "b"])
    assert read == [tile.core for tile in tiles]
    assert guidance.coverage.uncovered == pytest.approx((1 - values.sum(dim=0)).clamp(min=0).mean().item())
    assert guidance.coverage.shared == pytest.approx((values.sum(dim=0) - 1).clamp(min=0).mean().item())


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


def test_the_gain_makes_a_region_s_own_mean_of_the_guided_one() -> None:
    """mean(T' F) / mean(T') = sum(T F) / sum(T), whatever the normalisation makes of T."""
    channels = make_image(32, 32, seed=0, channels=1)
    tiles, features = whole(channels), make_image(4, 4, seed=1, channels=1)[0]
    layer = VGG16.layer("relu4_1")
    guidance = normalise(raster(channels), [layer], tiles, ["a"])
    T, share = guidance.at([layer], tiles[0])["relu4_1"][0], propagate(channels, layer)[0]
    expected = float((share * features).sum() / share.sum())
    assert float((T * features).mean()) * guidance.mean_gain(layer, 0) == pytest.approx(expected, rel=1e-13)


def test_shares_are_area_averages_whatever_the_propagation() -> None:
    channels = make_image(32, 32, seed=0, channels=2)
    guidance = normalise(raster(channels), [FULL], whole(channels), ["a", "b"], Propagation("inside", 2))
    assert torch.equal(guidance.shares([HALF], whole(channels)[0])["relu2_1"], propagate(channels, HALF))


METHODS: tuple[Literal["simple", "cubic", "all", "inside"], ...] = ("simple", "cubic", "all", "inside")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("grow_units", [-1, 0, 1, 5])
@pytest.mark.parametrize("halo_px", [0, 16])
def test_tiles_give_the_channels_of_the_whole(
    method: Literal["simple", "cubic", "all", "inside"], grow_units: int, halo_px: int
) -> None:
    # Large enough for the deepest layer to look from one tile into the next but one.
    channels = 0.7 + 0.3 * make_image(80, 160, seed=0, channels=2)
    channels[1, :, 30:] -= 0.7
    layers = [VGG16.layer(name) for name in ("relu1_1", "relu2_1", "relu4_2", "relu5_1")]
    how = Propagation(method, grow_units)
    tiles = cut(Size(80, 160), core_px=32, halo_px=halo_px, stride_px=16)
    streamed = normalise(raster(channels), layers, tiles, ["a", "b"], how)
    at_once = normalise(raster(channels), layers, whole(channels), ["a", "b"], how)
    reference = at_once.at(layers, whole(channels)[0])
    assert streamed.vanished == at_once.vanished
    for layer, region in itertools.product(layers, range(2)):
        if (layer.name, region) not in at_once.vanished:
            expected = at_once.mean_gain(layer, region)
            assert streamed.mean_gain(layer, region) == pytest.approx(expected, rel=1e-12)
    for tile in tiles:
        for layer in layers:
            rows, columns = tile.core.divided(layer.stride_px).slices
            torch.testing.assert_close(
                streamed.at([layer], tile)[layer.name],
                reference[layer.name][:, rows, columns],
                rtol=1e-12,
                atol=1e-14,
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
        "region dot covers 0.062 of one unit of relu4_1 at 32x32 px; it is not styled at this layer "
        "(15x15 px would do: a larger mask or level)",
    )
    assert guidance.mean_gain(layers[1], 0) == 1
    with pytest.raises(ValueError, match="region 1 vanishes at relu4_1"):
        guidance.mean_gain(layers[1], 1)
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
    tile = Tile(Box(0, 32, 32, 64), Box(0, 16, 32, 64))
    given = over_core(raster(channels), [FULL], tile)["relu1_1"]
    assert torch.equal(given, channels[:, :, 32:])


def test_cubic_is_torch_s_bicubic_interpolation() -> None:
    channels = make_image(48, 64, seed=0, channels=2)
    for layer in VGG16:
        grid = Size(48, 64).divided(layer.stride_px)
        expected = interpolate(
            channels[None], size=(grid.height, grid.width), mode="bicubic", align_corners=False
        )
        assert torch.equal(propagate(channels, layer, Propagation("cubic")), expected[0])


def test_cubic_overshoots_and_an_average_does_not() -> None:
    step = torch.zeros(1, 8, 16, dtype=torch.float64)
    step[:, :, 8:] = 1
    cubic = propagate(step, HALF, Propagation("cubic"))
    # The weights of four pixels around the middle of two: -0.09375, 0.59375, 0.59375, -0.09375.
    assert cubic[0, 0].tolist() == [0, 0, 0, -0.09375, 1.09375, 1, 1, 1]
    assert propagate(step, HALF)[0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    # Growing would smear what overshoots.
    assert propagate(step, HALF, Propagation("cubic", -1))[0, 0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert propagate(step, HALF, Propagation("cubic", 1))[0, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


def test_growing_adds_a_square_of_units_and_shrinking_takes_it() -> None:
    dot = torch.zeros(1, 14, 14, dtype=torch.float64)
    dot[:, 4:6, 8:10] = 1
    grown = propagate(dot, HALF, Propagation("simple", 2))[0]
    expected = torch.zeros(7, 7, dtype=torch.float64)
    expected[0:5, 2:7] = 1
    assert torch.equal(grown, expected)
    hole = propagate(1 - dot, HALF, Propagation("simple", -2))[0]
    assert torch.equal(hole, 1 - expected)


def test_units_outside_the_image_neither_grow_nor_shrink_a_region() -> None:
    for value in (0.0, 1.0):
        for grow_units in (-3, 3):
            channel = torch.full((1, 4, 4), value, dtype=torch.float64)
            assert torch.equal(propagate(channel, FULL, Propagation("simple", grow_units)), channel)


def test_soft_channels_stay_soft() -> None:
    channel = torch.tensor([[[0.25, 0.5, 0.75, 0.5]]], dtype=torch.float64)
    assert propagate(channel, FULL, Propagation("all")).tolist() == [[[0.5, 0.75, 0.75, 0.75]]]
    assert propagate(channel, FULL, Propagation("inside")).tolist() == [[[0.25, 0.25, 0.5, 0.5]]]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("grow_units", [-2, 0, 1])
@pytest.mark.parametrize("name", ["relu1_1", "relu2_1", "relu3_1", "relu4_2"])
def test_the_size_that_would_do_does_wherever_it_lies(
    method: Literal["simple", "cubic", "all", "inside"], grow_units: int, name: str
) -> None:
    how, layer = Propagation(method, grow_units), VGG16.layer(name)
    side = how.least_side_px(layer)
    # From as many places as there are on the grid of the deeper layers.
    for offset in range(layer.stride_px):
        channel = torch.zeros(1, 208, 208, dtype=torch.float64)
        channel[:, 80 + offset : 80 + offset + side, 80 : 80 + side] = 1
        assert not normalise(raster(channel), [layer], whole(channel), ["a"], how).vanished


@pytest.mark.parametrize("name", ["relu2_1", "relu4_2"])
@pytest.mark.parametrize("grow_units", [-1, 0])
def test_a_region_one_pixel_smaller_may_vanish(name: str, grow_units: int) -> None:
    how, layer = Propagation("inside", grow_units), VGG16.layer(name)
    side = how.least_side_px(layer) - 1
    vanished: list[str] = []
    for offset in range(layer.stride_px):
        channel = torch.zeros(1, 208, 208, dtype=torch.float64)
        channel[:, 80 + offset : 80 + offset + side, 80 + offset : 80 + offset + side] = 1
        guidance = normalise(raster(channel), [layer], whole(channel), ["a"], how)
        vanished += guidance.warnings
    assert len(vanished) == 1
    advice = "a larger mask or level, or propagation `simple`" + (", or less shrinking" * (grow_units < 0))
    assert vanished[0].endswith(f"({side + 1}x{side + 1} px would do: {advice})")


@pytest.fixture(scope="module")
def seeing() -> Encoder:
    """VGG-16 whose units hide nothing of what they see.

    Positive weights without biases and average pooling: no maximum and no ReLU loses a pixel. Black images
    give exactly zero, so that the smallest change of a unit shows.
    """
    weights = {
        name: torch.zeros_like(tensor) if name.endswith("bias") else tensor.abs()
        for name, tensor in make_random_weights(VGG16, seed=0).items()
    }
    plain = OxfordFormat(mean=(0.0, 0.0, 0.0))
    return Encoder(weights, VGG16, plain, pooling="average", dtype=torch.float64)


@pytest.mark.parametrize(
    "name", ["relu1_1", "relu1_2", "relu2_1", "relu3_1", "relu3_3", "relu4_2", "relu5_1"]
)
def test_all_and_inside_are_what_the_network_sees(seeing: Encoder, name: str) -> None:
    """Light the pixels of a region: the units that change see some of it. Those that no other pixel changes
    see nothing else.
    """
    layer = VGG16.layer(name)
    region = torch.zeros(1, 96, 96, dtype=torch.float64)
    # Up to a border, where pixels outside the image do not count, and off every grid.
    region[:, :85, 3:] = 1
    region[:, 90, 10] = 1

    def changed(mask: Tensor) -> Tensor:
        lit = mask.expand(1, 3, 96, 96)
        before, after = (seeing(image, [name])[name][0] for image in (0 * lit, lit))
        units: Tensor = (after != before).any(dim=0)
        return units

    assert torch.equal(propagate(region, layer, Propagation("all"))[0] == 1, changed(region))
    assert torch.equal(propagate(region, layer, Propagation("inside"))[0] == 1, ~changed(1 - region))
    # At relu5_1 the top right corner alone is left.
    assert propagate(region, layer, Propagation("inside")).any()
    assert not propagate(region, layer, Propagation("inside")).all()


@pytest.mark.parametrize(
    "layer", [*VGG16, *VGG19], ids=lambda layer: f"{layer.name}-{layer.receptive_field_px}"
)
def test_one_pixel_is_seen_by_as_many_units_as_the_table_says(layer: Layer) -> None:
    channel = torch.zeros(1, 512, 512, dtype=torch.float64)
    channel[:, 256, 256] = 1
    seen = propagate(channel, layer, Propagation("all")).sum().item()
    # Of all places in a block a corner is seen by the fewest or the most units; the mean is (R / s)^2.
    assert seen**0.5 in (
        layer.receptive_field_px // layer.stride_px,
        -(-layer.receptive_field_px // layer.stride_px),
    )


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
