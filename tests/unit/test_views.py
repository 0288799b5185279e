from __future__ import annotations

import pytest
import torch
from networks import SMALL, make_encoder, make_image
from torch import Tensor

from pipeline.geometry import Box, Size
from pipeline.losses import ContentTerm, GramTerm, Loss, TotalVariationTerm
from pipeline.rasters import TensorRaster
from pipeline.tiles import Tile, cut
from pipeline.views import View

LAYER = SMALL.layer("relu2_1")
STYLE = Loss((GramTerm(LAYER, None, 1.0, torch.zeros(LAYER.channels, LAYER.channels)),))


def test_a_tile_is_seen_over_its_core_as_the_whole_image_has_it() -> None:
    image, size, encoder = make_image(32, 48, seed=0), Size(32, 48), make_encoder()
    view, whole = View(encoder, STYLE, None, None), encoder(image[None], ["relu2_1"])["relu2_1"]
    tile = cut(size, 16, 4, 2)[1]
    assert (tile.core, tile.haloed) == (Box(0, 16, 16, 30), Box(0, 12, 20, 34))
    read = view.read(TensorRaster(image), tile, None)
    assert torch.equal(read.pixels, image[:, :20, 12:34])
    pixels = read.pixels.clone().requires_grad_()
    chain = view.chain(pixels, tile)
    features = view.observe(chain, read, tile).features["relu2_1"].detach()
    torch.testing.assert_close(features, whole[:, :, :8, 8:15])

    def last_row(rows: slice) -> Tensor:
        return torch.nn.functional.pad(torch.ones(1, *features.shape[3:0:-2]), (0, 0, 0, 0, 7, 0))[rows]

    # relu2_1 sees 10 px: its last row of units, over the rows 14 and 15, feels the row 19 and none below.
    gradient = chain.gradient({"relu2_1": [last_row]}, ())
    felt = gradient.abs().amax(dim=(0, 2)).nonzero().flatten().tolist()
    assert felt == list(range(10, 20))


def test_what_several_layers_are_asked_is_the_gradient_that_autograd_finds() -> None:
    image, size, encoder = make_image(32, 48, seed=0), Size(32, 48), make_encoder()
    layers = [SMALL.layer(name) for name in ("relu1_1", "relu2_1", "relu3_1")]
    terms = [GramTerm(layer, None, 1.0, torch.ones(layer.channels, layer.channels)) for layer in layers]
    loss = Loss((*terms, TotalVariationTerm(1.0)))
    view, tile = View(encoder, loss, None, None), cut(size, 16, 16, 4)[1]
    read = view.read(TensorRaster(image), tile, None)
    pixels = read.pixels.clone().requires_grad_()
    chain = view.chain(pixels, tile)
    seen = view.observe(chain, read, tile)
    sums = loss.measure(seen)
    derivatives = {
        name: torch.linspace(-1, 1, value.numel(), dtype=torch.float64).view_as(value)
        for name, value in sums.items()
    }
    (expected,) = torch.autograd.grad(
        list(sums.values()), pixels, [derivatives[name] for name in sums], retain_graph=True
    )
    of_pixels = [(sums[name], derivatives[name]) for name in loss.of_pixels]
    found = chain.gradient(loss.pulls(seen, derivatives), of_pixels)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    assert not chain.features


def test_the_content_is_seen_where_the_tile_is() -> None:
    content, encoder = make_image(32, 48, seed=1), make_encoder()
    view = View(encoder, Loss((ContentTerm(LAYER),)), TensorRaster(content), None)
    tile = cut(Size(32, 48), 16, 4, 2)[4]
    expected = encoder(content[None], ["relu2_1"])["relu2_1"][:, :, 8:, 8:15]
    torch.testing.assert_close(view.content(tile)["relu2_1"], expected)
    read = view.read(TensorRaster(make_image(32, 48, seed=0)), tile, None)
    torch.testing.assert_close(
        view.observe(view.chain(read.pixels, tile), read, tile).content["relu2_1"], expected
    )
    at_hand = view.read(TensorRaster(content), tile, {"relu2_1": torch.zeros_like(expected)})
    assert at_hand.content_pixels is None


@pytest.mark.parametrize(
    ("core", "expected"),
    [
        (Box(0, 0, 2, 2), [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]),
        # At the border the last ones again.
        (Box(1, 1, 3, 3), [[4.0, 5.0, 5.0], [7.0, 8.0, 8.0], [7.0, 8.0, 8.0]]),
    ],
)
def test_pixels_come_with_their_neighbours(core: Box, expected: list[list[float]]) -> None:
    image = torch.arange(9, dtype=torch.float64).reshape(1, 3, 3).expand(3, -1, -1)
    view = View(make_encoder(), Loss((TotalVariationTerm(1.0),)), None, None)
    tile = Tile(core, Box(0, 0, 3, 3))
    read = view.read(TensorRaster(image), tile, None)
    seen = view.observe(view.chain(read.pixels, tile), read, tile)
    assert seen.features == {}
    assert seen.pixels is not None
    assert seen.pixels.tolist() == [expected] * 3
