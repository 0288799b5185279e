from __future__ import annotations

import pytest
import torch
from networks import SMALL, make_encoder, make_image
from torch import Tensor

from pipeline.errors import InputError
from pipeline.guidance import Propagation
from pipeline.rasters import TensorRaster
from pipeline.targets import StyleStatistics, style_statistics

LAYERS = [SMALL.layer(name) for name in ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")]


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def equal(found: StyleStatistics, expected: StyleStatistics) -> None:
    close(found.gram, expected.gram)
    close(found.mean, expected.mean)
    close(found.sum, expected.sum)


def test_statistics_of_the_whole_image_are_those_of_its_features() -> None:
    encoder, image = make_encoder(), make_image(48, 64, seed=1)
    found = style_statistics(encoder, TensorRaster(image), None, LAYERS, tile_px=64)
    assert list(found) == [layer.name for layer in LAYERS]
    for name, features in encoder(image[None], found).items():
        rows = features[0].flatten(1)
        close(found[name].gram, rows @ rows.T / rows.shape[1])
        close(found[name].mean, rows.mean(dim=1))
        close(found[name].sum, rows.mean(dim=1))


@pytest.mark.parametrize(
    "how",
    [Propagation(), Propagation("cubic"), Propagation("all", -1), Propagation("inside", 1)],
    ids=lambda how: f"{how.method}{how.grow_units:+d}",
)
def test_tiles_give_the_statistics_of_the_whole(how: Propagation) -> None:
    encoder, image = make_encoder(), TensorRaster(make_image(96, 160, seed=1))
    guide = TensorRaster(0.5 + 0.5 * make_image(96, 160, seed=2, channels=1))
    tiled = style_statistics(encoder, image, guide, LAYERS, tile_px=16, how=how)
    whole = style_statistics(encoder, image, guide, LAYERS, tile_px=160, how=how)
    assert list(tiled) == [layer.name for layer in LAYERS]
    for name, expected in whole.items():
        equal(tiled[name], expected)


def test_a_guide_reaches_a_layer_as_it_is_told() -> None:
    encoder, image = make_encoder(), TensorRaster(make_image(32, 32, seed=1))
    half, narrower = torch.zeros(2, 1, 32, 32, dtype=torch.float64)
    half[:, :, 16:], narrower[:, :, 17:] = 1, 1
    found, expected = (
        style_statistics(encoder, image, TensorRaster(T), LAYERS[:1], tile_px=32, how=how)["relu1_1"]
        for T, how in ((half, Propagation("inside")), (narrower, Propagation()))
    )
    equal(found, expected)


def test_a_guide_gives_the_moments_of_its_part() -> None:
    encoder, image = make_encoder(), make_image(32, 32, seed=1)
    guide = torch.zeros(1, 32, 32, dtype=torch.float64)
    guide[:, :, 16:] = 1
    found = style_statistics(encoder, TensorRaster(image), TensorRaster(guide), LAYERS[:2], tile_px=32)
    for name, features in encoder(image[None], found).items():
        rows = features[0, :, :, features.shape[3] // 2 :].flatten(1)
        close(found[name].gram, rows @ rows.T / rows.shape[1])
        close(found[name].mean, rows.mean(dim=1))
        # Half of the area: T is sqrt(2) there and 0 elsewhere.
        close(found[name].sum, rows.mean(dim=1) * 0.5**0.5)


def test_a_guide_of_ones_changes_nothing() -> None:
    encoder, image = make_encoder(), TensorRaster(make_image(32, 32, seed=1))
    ones = TensorRaster(torch.ones(1, 32, 32, dtype=torch.float64))
    guided = style_statistics(encoder, image, ones, LAYERS, tile_px=32)
    for name, expected in style_statistics(encoder, image, None, LAYERS, tile_px=32).items():
        equal(guided[name], expected)


def test_a_layer_where_the_guide_vanishes_is_left_out() -> None:
    guide = torch.zeros(1, 32, 32, dtype=torch.float64)
    guide[:, :4, :4] = 1
    image = TensorRaster(make_image(32, 32, seed=1))
    found = style_statistics(make_encoder(), image, TensorRaster(guide), LAYERS, tile_px=32)
    assert list(found) == ["relu1_1", "relu2_1", "relu3_1"]


def test_an_empty_guide_is_an_error_that_names_it() -> None:
    image, empty = make_image(32, 32, seed=1), torch.zeros(1, 32, 32, dtype=torch.float64)
    with pytest.raises(InputError, match=r"sky\.png: expected a guide .* found an empty one at 32x32 px"):
        style_statistics(
            make_encoder(), TensorRaster(image), TensorRaster(empty), LAYERS, tile_px=32, name="sky.png"
        )
