from __future__ import annotations

import pytest
import torch
from networks import SMALL, make_encoder, make_image

from pipeline.errors import InputError
from pipeline.rasters import TensorRaster
from pipeline.targets import style_statistics

LAYERS = [SMALL.layer(name) for name in ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")]


def test_grams_of_the_whole_image_are_those_of_its_features() -> None:
    encoder, image = make_encoder(), make_image(48, 64, seed=1)
    grams = style_statistics(encoder, TensorRaster(image), None, LAYERS, tile_px=64)
    assert list(grams) == [layer.name for layer in LAYERS]
    for name, features in encoder(image[None], grams).items():
        rows = features[0].flatten(1)
        torch.testing.assert_close(grams[name], rows @ rows.T / rows.shape[1], rtol=1e-12, atol=1e-12)


def test_tiles_give_the_grams_of_the_whole() -> None:
    encoder, image = make_encoder(), make_image(48, 160, seed=1)
    guide = make_image(48, 160, seed=2, channels=1)
    tiled = style_statistics(encoder, TensorRaster(image), TensorRaster(guide), LAYERS, tile_px=16)
    whole = style_statistics(encoder, TensorRaster(image), TensorRaster(guide), LAYERS, tile_px=160)
    for name, gram in whole.items():
        torch.testing.assert_close(tiled[name], gram, rtol=1e-12, atol=1e-12)


def test_a_guide_gives_the_second_moment_of_its_part() -> None:
    encoder, image = make_encoder(), make_image(32, 32, seed=1)
    guide = torch.zeros(1, 32, 32, dtype=torch.float64)
    guide[:, :, 16:] = 1
    grams = style_statistics(encoder, TensorRaster(image), TensorRaster(guide), LAYERS[:2], tile_px=32)
    for name, features in encoder(image[None], grams).items():
        rows = features[0, :, :, features.shape[3] // 2 :].flatten(1)
        torch.testing.assert_close(grams[name], rows @ rows.T / rows.shape[1], rtol=1e-12, atol=1e-12)


def test_a_guide_of_ones_changes_nothing() -> None:
    encoder, image = make_encoder(), TensorRaster(make_image(32, 32, seed=1))
    ones = TensorRaster(torch.ones(1, 32, 32, dtype=torch.float64))
    guided = style_statistics(encoder, image, ones, LAYERS, tile_px=32)
    for name, gram in style_statistics(encoder, image, None, LAYERS, tile_px=32).items():
        torch.testing.assert_close(guided[name], gram, rtol=1e-14, atol=0)


def test_a_layer_where_the_guide_vanishes_is_left_out() -> None:
    guide = torch.zeros(1, 32, 32, dtype=torch.float64)
    guide[:, :4, :4] = 1
    image = TensorRaster(make_image(32, 32, seed=1))
    grams = style_statistics(make_encoder(), image, TensorRaster(guide), LAYERS, tile_px=32)
    assert list(grams) == ["relu1_1", "relu2_1", "relu3_1"]


def test_an_empty_guide_is_an_error_that_names_it() -> None:
    image, empty = make_image(32, 32, seed=1), torch.zeros(1, 32, 32, dtype=torch.float64)
    with pytest.raises(InputError, match=r"sky\.png: expected a guide .* found an empty one at 32x32 px"):
        style_statistics(
            make_encoder(), TensorRaster(image), TensorRaster(empty), LAYERS, tile_px=32, name="sky.png"
        )
