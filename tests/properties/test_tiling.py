"""Tiled equals whole, in value and gradient; and the tests can tell when it does not."""

from __future__ import annotations

from typing import Literal, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import SMALL, make_encoder, make_image
from torch import Tensor

from pipeline.features import Encoder, pad_to_stride
from pipeline.geometry import Size
from pipeline.guidance import Guidance, Propagation, normalise
from pipeline.layers import VGG16, Layer
from pipeline.losses import (
    ContentTerm,
    GramTerm,
    Loss,
    MeansTerm,
    Term,
    TotalVariationTerm,
    mix_targets,
    stacked_weight,
)
from pipeline.objective import TiledObjective, WholeObjective
from pipeline.rasters import TensorRaster
from pipeline.streaming import Streaming
from pipeline.tiles import cut

EXACT = 1e-9
STYLED = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


class Case(NamedTuple):
    """What hypothesis varies; sizes are those before padding."""

    height: int
    width: int
    tile_px: int
    regions: int
    styles: int
    form: Literal["gram", "sum", "mean", "stacked"]
    method: Literal["simple", "cubic", "all", "inside"]
    grow_units: int
    global_term: bool
    content: Literal["none", "everywhere", "by region"]
    total_variation: bool
    keep_tiles: int
    cache_content: bool
    pooling: Literal["max", "average"]
    deepest: int
    seed: int


def cases(height_px: int, width_px: int) -> st.SearchStrategy[Case]:
    return st.builds(
        Case,
        height=st.integers(1, height_px),
        width=st.integers(1, width_px),
        tile_px=st.sampled_from([16, 32, 48]),
        regions=st.integers(0, 3),
        styles=st.integers(1, 3),
        form=st.sampled_from(["gram", "sum", "mean", "stacked"]),
        method=st.sampled_from(["simple", "cubic", "all", "inside"]),
        grow_units=st.integers(-2, 3),
        global_term=st.booleans(),
        content=st.sampled_from(["none", "everywhere", "by region"]),
        total_variation=st.booleans(),
        keep_tiles=st.integers(0, 4),
        cache_content=st.booleans(),
        pooling=st.sampled_from(["max", "average"]),
        deepest=st.integers(1, len(STYLED)),
        seed=st.integers(0, 2**31),
    )


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def style_terms(case: Case, layer: Layer, guidance: Guidance) -> list[Term]:
    """The terms of a layer: of every region that is there, in the case's form, and of the whole image."""

    def mixed(rows: int) -> Tensor:
        targets = [make_image(rows, layer.channels, seed, 1)[0] for seed in range(case.styles)]
        return mix_targets(targets, [1.0 + seed for seed in range(case.styles)])

    gram, means = mixed(layer.channels), mixed(1)[0]
    weight = stacked_weight(layer) if case.form == "stacked" else 1.0
    present = [r for r in range(case.regions) if (layer.name, r) not in guidance.vanished]
    terms: list[Term] = []
    for region in present:
        if case.form == "gram":
            terms.append(GramTerm(layer, region, 1.0, gram))
        else:
            gain = guidance.mean_gain(layer, region) if case.form == "mean" else 1.0
            terms.append(MeansTerm(layer, region, weight, means, gain))
    if case.global_term or case.form == "stacked" or not present:
        terms.append(GramTerm(layer, None, 1.0, gram))
    return terms


def check(case: Case, architecture: Literal["small", "vgg16"]) -> None:
    table = SMALL if architecture == "small" else VGG16
    encoder = make_encoder(table, pooling=case.pooling, seed=case.seed)
    layers = [table.layer(name) for name in STYLED[: case.deepest]]

    def picture(offset: int, channels: int = 3) -> Tensor:
        return pad_to_stride(make_image(case.height, case.width, case.seed + offset, channels), 16)

    image, content = picture(1), TensorRaster(picture(2))
    # Regions overlap and leave parts free. Noise alone would leave nothing inside; in the smallest images a
    # region vanishes at the deepest layer all the same.
    channels = picture(3, max(1, case.regions)) * 0.5
    for region, channel in enumerate(channels):
        channel[:, (region * 40) % channel.shape[1] :] += 0.5
    size = content.size
    labels = ["a", "b", "c"][: max(1, case.regions)]
    how = Propagation(case.method, case.grow_units)
    guidance = normalise(TensorRaster(channels), layers, cut(size, case.tile_px, 0, 16), labels, how)
    terms: list[Term] = []
    if case.content != "none":
        weights = tuple(2.0 + region for region in range(len(channels)))
        by_region = weights if case.content == "by region" else None
        terms.append(ContentTerm(table.layer("relu4_2"), 1.0, by_region))
    if case.total_variation:
        terms.append(TotalVariationTerm(1e-3))
    for layer in layers:
        terms += style_terms(case, layer, guidance)
    loss = Loss(tuple(terms))
    whole = WholeObjective(encoder, loss, size, content=content, guidance=guidance).forward(image)
    tiled = TiledObjective(
        encoder,
        loss,
        size,
        tile_px=case.tile_px,
        content=content,
        guidance=guidance,
        keep_tiles=case.keep_tiles,
        cache_content=case.cache_content,
    ).forward(image)
    assert tiled.loss == pytest.approx(whole.loss, rel=EXACT)
    assert tiled.terms == pytest.approx(whole.terms, rel=EXACT)
    assert relative(tiled.gradient(), whole.gradient()) < EXACT


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases(height_px=48, width_px=112))
def test_tiled_equals_whole_on_a_small_network(case: Case) -> None:
    check(case, "small")


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases(height_px=32, width_px=48))
def test_tiled_equals_whole_on_the_topology_of_vgg16(case: Case) -> None:
    check(case, "vgg16")


class Deviation(NamedTuple):
    """Relative errors against the whole image."""

    value: float
    gradient: float


@pytest.fixture(scope="module")
def vgg16() -> Encoder:
    return make_encoder(VGG16)


class OneLayer:
    """A loss on one layer of VGG-16, seen by the units on both sides of the border between two tiles.

    How much a halo that is too short shows depends on the loss: units deep inside a tile do not notice, and a
    sum over all layers and units dilutes the few that do to 1e-6 and less. Here every unit that counts lies
    at the border.
    """

    def __init__(self, encoder: Encoder, layer: Layer) -> None:
        stride, border, size = layer.stride_px, 80, Size(16, 160)
        self.layer = layer
        self.image = make_image(size.height, size.width, seed=3)
        channel = torch.zeros(1, size.height, size.width, dtype=torch.float64)
        channel[:, :, border - stride : border + stride] = 1
        self.encoder, self.size, self.border_px = encoder, size, border
        self.guidance = normalise(TensorRaster(channel), [layer], cut(size, border, 0, stride), ["border"])
        target = torch.zeros(layer.channels, layer.channels, dtype=torch.float64)
        self.loss = Loss((GramTerm(layer, 0, 1.0, target),))
        whole = WholeObjective(encoder, self.loss, size, guidance=self.guidance).forward(self.image)
        self.value, self.gradient = whole.loss, whole.gradient()

    def tiled(self, halo_px: int, *, cropped: bool = False) -> Deviation:
        """Errors with this halo; `cropped` keeps of each tile's gradient only what falls on its core."""
        tiled = TiledObjective(
            self.encoder,
            self.loss,
            self.size,
            tile_px=self.border_px - halo_px,
            guidance=self.guidance,
            halo_px=halo_px,
        )
        assert [tile.core.left for tile in tiled.tiles] == [0, self.border_px]
        trial = tiled.forward(self.image)
        gradient = torch.zeros_like(self.image)
        with Streaming(self.image.device) as stream:
            for tile, share in trial.tile_gradients(stream):
                if cropped:
                    rows, columns = tile.t_core.slices
                    t_rows, t_columns = tile.core.slices
                    gradient[:, t_rows, t_columns] += share[:, rows, columns]
                else:
                    rows, columns = tile.haloed.slices
                    gradient[:, rows, columns] += share
        return Deviation(abs(trial.loss / self.value - 1), relative(gradient, self.gradient))


@pytest.mark.parametrize("name", [layer.name for layer in VGG16 if layer.receptive_field_px <= 132])
def test_the_halo_of_the_table_is_exact_and_the_least_that_is(vgg16: Encoder, name: str) -> None:
    layer = VGG16.layer(name)
    case = OneLayer(vgg16, layer)
    assert max(case.tiled(layer.halo_px)) < EXACT
    assert case.tiled(layer.halo_px - layer.stride_px).gradient > 1e-4
    assert case.tiled(layer.halo_px, cropped=True).gradient > 1e-4


@pytest.mark.parametrize("tile_px", [1, 7, 38])
def test_the_total_variation_alone_crosses_the_borders_of_tiles(tile_px: int) -> None:
    size, encoder, image = Size(19, 41), make_encoder(), make_image(19, 41, seed=0)
    loss = Loss((TotalVariationTerm(2.0),))
    whole = WholeObjective(encoder, loss, size).forward(image)
    gradient = whole.gradient()
    tiled = TiledObjective(encoder, loss, size, tile_px=tile_px)
    assert len(tiled.tiles) > 1
    trial = tiled.forward(image)
    assert trial.loss == pytest.approx(whole.loss, rel=EXACT)
    assert relative(trial.gradient(), gradient) < EXACT
    blind = TiledObjective(encoder, loss, size, tile_px=tile_px, halo_px=0).forward(image)
    assert abs(blind.loss / whole.loss - 1) > 1e-3
    assert relative(blind.gradient(), gradient) > 1e-3


@pytest.mark.parametrize("method", ["cubic", "all", "inside"])
def test_guidance_looks_further_than_the_network_s_halo(
    vgg16: Encoder, method: Literal["cubic", "all", "inside"]
) -> None:
    """A region that grows by so many units that it comes from three tiles away."""
    layers = [VGG16.layer("relu1_1"), VGG16.layer("relu2_1")]
    size, how = Size(32, 96), Propagation(method, 20)
    channel = torch.zeros(1, size.height, size.width, dtype=torch.float64)
    channel[:, :, 80:] = 1
    image, encoder = make_image(size.height, size.width, seed=1), vgg16
    guidance = normalise(TensorRaster(channel), layers, cut(size, 16, 0, 2), ["r"], how)
    assert guidance.vanished == frozenset()
    assert guidance.at(layers, cut(size, 16, 0, 2)[3])["relu2_1"].min() > 0
    loss = Loss(
        tuple(GramTerm(layer, 0, 1.0, torch.zeros(layer.channels, layer.channels)) for layer in layers)
    )
    whole = WholeObjective(encoder, loss, size, guidance=guidance).forward(image)
    tiled = TiledObjective(encoder, loss, size, tile_px=16, guidance=guidance).forward(image)
    assert tiled.loss == pytest.approx(whole.loss, rel=EXACT)
    assert relative(tiled.gradient(), whole.gradient()) < EXACT
