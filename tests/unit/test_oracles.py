"""Every statistic, normalisation and loss once more, by the letter: plain loops over positions.

The loops know nothing of the package: they read numbers from nested lists, in Python's floats, and are
written from the formulas of the paper and of the authors' code. The package's own path is taken end to end:
channels of a level through guidance, measure and judge.
"""

from __future__ import annotations

import itertools
import math
from typing import Literal, NamedTuple

import pytest
import torch
from networks import SMALL, make_encoder, make_image
from torch import Tensor

from pipeline.geometry import Size
from pipeline.guidance import Guidance, Propagation, normalise, propagate
from pipeline.layers import Layer
from pipeline.losses import (
    ContentTerm,
    GramTerm,
    Loss,
    MeansTerm,
    Observation,
    Term,
    TotalVariationTerm,
    stacked_weight,
)
from pipeline.objective import WholeObjective
from pipeline.rasters import TensorRaster
from pipeline.statistics import first_moment, second_moment, squared_difference, total_variation
from pipeline.targets import style_statistics
from pipeline.tiles import Tile

Grid = list[list[float]]
Maps = list[Grid]
EXACT = 1e-12

# Three channels over 4 x 6 units of 2 px, seen through two soft regions that overlap and leave parts free.
LAYER = Layer("relu2_1", 3, 2, 10)
SIZE = Size(8, 12)
ROWS, COLUMNS = 4, 6


def maps(seed: int, channels: int = 3) -> Tensor:
    return make_image(ROWS, COLUMNS, seed, channels) * 4 - 1


def channels_of_the_level() -> Tensor:
    soft = make_image(SIZE.height, SIZE.width, seed=9, channels=2)
    soft[0, :, 7:] = 0
    soft[1, :, :5] *= 0.25
    return soft


FEATURES, CONTENT = maps(1), maps(2)
CHANNELS = channels_of_the_level()


# The loops.


def positions(grid: Grid) -> list[tuple[int, int]]:
    return list(itertools.product(range(len(grid)), range(len(grid[0]))))


def simple_oracle(channel: Grid, stride: int) -> Grid:
    """The average of the pixels of every unit."""
    rows, columns = len(channel) // stride, len(channel[0]) // stride
    grid = [[0.0] * columns for _ in range(rows)]
    for row, column in positions(grid):
        block = [channel[row * stride + y][column * stride + x] for y in range(stride) for x in range(stride)]
        grid[row][column] = sum(block) / len(block)
    return grid


def inside_oracle(channel: Grid, layer: Layer, pick: Literal["all", "inside"]) -> Grid:
    """The extreme of all pixels that a unit sees; those outside the image are no pixels."""
    stride, margin = layer.stride_px, (layer.receptive_field_px - layer.stride_px) / 2
    height, width = len(channel), len(channel[0])
    grid = [[0.0] * (width // stride) for _ in range(height // stride)]
    for row, column in positions(grid):
        seen = [
            channel[y][x]
            for y in range(height)
            for x in range(width)
            if row * stride - margin <= y < (row + 1) * stride + margin
            and column * stride - margin <= x < (column + 1) * stride + margin
        ]
        grid[row][column] = max(seen) if pick == "all" else min(seen)
    return grid


def keys_weight(distance: float) -> float:
    """Keys' cubic convolution kernel with a = -3/4, as interpolating libraries have it."""
    a, d = -0.75, abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def cubic_oracle(channel: Grid, stride: int) -> Grid:
    """The interpolated value at the centre of every unit; beyond the border its last pixel goes on."""
    height, width = len(channel), len(channel[0])
    grid = [[0.0] * (width // stride) for _ in range(height // stride)]
    for row, column in positions(grid):
        y, x = (row + 0.5) * stride - 0.5, (column + 0.5) * stride - 0.5
        for i, j in itertools.product(range(-2, 4), range(-2, 4)):
            v, u = math.floor(y) + i, math.floor(x) + j
            value = channel[min(max(v, 0), height - 1)][min(max(u, 0), width - 1)]
            grid[row][column] += keys_weight(v - y) * keys_weight(u - x) * value
    return grid


def grown_oracle(grid: Grid, units: int) -> Grid:
    """The extreme of the units around each, as far as there are any."""
    grown = [list(row) for row in grid]
    for row, column in positions(grid):
        near = [grid[v][u] for v, u in positions(grid) if max(abs(v - row), abs(u - column)) <= abs(units)]
        grown[row][column] = max(near) if units > 0 else min(near)
    return grown


def normalised_oracle(grid: Grid) -> Grid:
    """T / sqrt(mean T^2)."""
    mean_square = sum(grid[row][column] ** 2 for row, column in positions(grid)) / len(positions(grid))
    return [[value / math.sqrt(mean_square) for value in row] for row in grid]


def gram_oracle(found: Maps, guide: Grid | None) -> Grid:
    """(1 / M) times the sum over positions of (T F_i) (T F_j)."""
    gram = [[0.0] * len(found) for _ in found]
    for row, column in positions(found[0]):
        T = 1.0 if guide is None else guide[row][column]
        for i, j in positions(gram):
            gram[i][j] += (T * found[i][row][column]) * (T * found[j][row][column])
    return [[value / len(positions(found[0])) for value in row] for row in gram]


def sums_oracle(found: Maps, guide: Grid | None) -> list[float]:
    """The mean over all positions of T F: `sum`, as the authors' code has it."""
    means = [0.0] * len(found)
    for row, column in positions(found[0]):
        T = 1.0 if guide is None else guide[row][column]
        for i, plane in enumerate(found):
            means[i] += T * plane[row][column] / len(positions(found[0]))
    return means


def means_oracle(found: Maps, guide: Grid) -> list[float]:
    """The sum of T F over the sum of T: `mean`, free of the area."""
    weight = sum(guide[row][column] for row, column in positions(guide))
    return [
        sum(guide[row][column] * plane[row][column] for row, column in positions(guide)) / weight
        for plane in found
    ]


def squares(one: list[float], other: list[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def flat(grid: Grid) -> list[float]:
    return [value for row in grid for value in row]


def content_oracle(found: Maps, wanted: Maps, shares: Maps, weights: list[float], rest: float) -> float:
    """Every position weighted by the regions that cover it, the uncovered part by the rest's weight."""
    total = 0.0
    for row, column in positions(found[0]):
        covered = sum(share[row][column] for share in shares)
        weight = sum(w * share[row][column] for w, share in zip(weights, shares, strict=True))
        if covered < 1:
            weight += (1 - covered) * rest
        else:
            weight /= covered
        for plane, target in zip(found, wanted, strict=True):
            total += weight * (plane[row][column] - target[row][column]) ** 2
    return total / (len(found) * len(positions(found[0])))


def variation_oracle(image: Maps) -> float:
    """The mean over all elements of the squared steps right and down, of grey levels 0..255."""
    total = 0.0
    for plane in image:
        for row, column in positions(plane):
            if column + 1 < len(plane[0]):
                total += (255 * plane[row][column + 1] - 255 * plane[row][column]) ** 2
            if row + 1 < len(plane):
                total += (255 * plane[row + 1][column] - 255 * plane[row][column]) ** 2
    return total / (len(image) * len(positions(image[0])))


# What the package says.


def guidance(channels: Tensor = CHANNELS, how: Propagation | None = None) -> Guidance:
    size = Size(*channels.shape[1:])
    names = [str(index) for index in range(len(channels))]
    return normalise(TensorRaster(channels), [LAYER], [Tile.whole(size)], names, how or Propagation())


def judged(*terms: Term, found: Tensor = FEATURES, channels: Tensor = CHANNELS) -> list[float]:
    loss, size = Loss(terms), Size(*channels.shape[1:])
    regions, tile = guidance(channels), Tile.whole(size)
    seen = Observation(
        {LAYER.name: found[None]},
        regions.at([LAYER], tile),
        {LAYER.name: CONTENT[None]},
        regions.shares([LAYER], tile),
    )
    return [value.item() for value in loss.judge(loss.measure(seen), size).values()]


def oracle_guides(channels: Tensor = CHANNELS) -> Maps:
    return [normalised_oracle(simple_oracle(channel, LAYER.stride_px)) for channel in channels.tolist()]


def test_the_statistics() -> None:
    found, guide = FEATURES[None], torch.tensor(oracle_guides()[0], dtype=torch.float64)
    count = ROWS * COLUMNS
    for T in (None, guide):
        grid = None if T is None else T.tolist()
        gram = [value * count for value in flat(gram_oracle(FEATURES.tolist(), grid))]
        assert second_moment(found, T).flatten().tolist() == pytest.approx(gram, rel=EXACT)
        sums = [value * count for value in sums_oracle(FEATURES.tolist(), grid)]
        assert first_moment(found, T).tolist() == pytest.approx(sums, rel=EXACT)
    everywhere = content_oracle(FEATURES.tolist(), CONTENT.tolist(), [[[1.0] * COLUMNS] * ROWS], [1.0], 0.0)
    difference = squared_difference(found, CONTENT[None]).item()
    assert difference == pytest.approx(everywhere * 3 * count, rel=EXACT)
    image = make_image(5, 7, seed=3)
    bordered = torch.nn.functional.pad(image[None], (0, 1, 0, 1), mode="replicate")[0]
    steps = variation_oracle(image.tolist()) * 3 * 35 / 255**2
    assert total_variation(bordered).item() == pytest.approx(steps, rel=EXACT)


def test_the_normalisation() -> None:
    found = guidance().at([LAYER], Tile.whole(SIZE))[LAYER.name]
    assert found.flatten().tolist() == pytest.approx(
        [value for grid in oracle_guides() for value in flat(grid)], rel=EXACT
    )


class Way(NamedTuple):
    how: Propagation
    layer: Layer


@pytest.mark.parametrize(
    "way",
    [
        Way(Propagation(method, units), layer)
        for method in ("simple", "cubic", "all", "inside")
        for units in (-1, 0, 2)
        for layer in (Layer("relu1_1", 3, 1, 3), LAYER, Layer("relu3_1", 3, 4, 24))
    ],
    ids=lambda way: f"{way.how.method}{way.how.grow_units:+d}-{way.layer.name}",
)
def test_the_propagations(way: Way) -> None:
    channel, stride = make_image(24, 32, seed=4, channels=1), way.layer.stride_px
    grid = channel[0].tolist()
    if way.how.method == "simple":
        expected = simple_oracle(grid, stride)
    elif way.how.method == "cubic":
        expected = cubic_oracle(grid, stride)
    else:
        expected = inside_oracle(grid, way.layer, way.how.method)
    if way.how.grow_units:
        cut = [[min(max(value, 0.0), 1.0) for value in row] for row in expected]
        expected = grown_oracle(cut, way.how.grow_units)
    found = propagate(channel, way.layer, way.how)[0]
    assert found.flatten().tolist() == pytest.approx(flat(expected), rel=EXACT, abs=1e-15)


def test_the_gram_loss() -> None:
    target = make_image(3, 3, seed=5, channels=1)[0]
    terms = [GramTerm(LAYER, region, 100.0, target) for region in (None, 0, 1)]
    for value, guide in zip(judged(*terms), [None, *oracle_guides()], strict=True):
        gram = gram_oracle(FEATURES.tolist(), guide)
        assert value == pytest.approx(100 * squares(flat(gram), flat(target.tolist())) / 3**2, rel=EXACT)


def test_the_means_loss_in_both_normalisations() -> None:
    target, regions = make_image(1, 3, seed=6, channels=1)[0, 0], guidance()
    sums = judged(*[MeansTerm(LAYER, region, 100.0, target) for region in (None, 0, 1)])
    for value, guide in zip(sums, [None, *oracle_guides()], strict=True):
        means = sums_oracle(FEATURES.tolist(), guide)
        assert value == pytest.approx(100 * squares(means, target.tolist()) / 3, rel=EXACT)
    gains = [regions.mean_gain(LAYER, region) for region in (0, 1)]
    means = judged(*[MeansTerm(LAYER, region, 100.0, target, gains[region]) for region in (0, 1)])
    for value, channel in zip(means, CHANNELS.tolist(), strict=True):
        expected = means_oracle(FEATURES.tolist(), simple_oracle(channel, LAYER.stride_px))
        assert value == pytest.approx(100 * squares(expected, target.tolist()) / 3, rel=EXACT)


def test_the_stacked_form_is_the_global_gram_and_twice_the_sums() -> None:
    """Gram of [F, T^1, T^2], all squared entries over N^2 = global E + (2 / N^2) sums + a constant."""
    style = maps(7)
    style_channels = make_image(SIZE.height, SIZE.width, seed=8, channels=2)
    content_guides, style_guides = oracle_guides(), oracle_guides(style_channels)
    wanted = gram_oracle(style.tolist(), None)

    def stacked(found: Tensor) -> float:
        difference = [
            one - other
            for one, other in zip(
                flat(gram_oracle(found.tolist() + content_guides, None)),
                flat(gram_oracle(style.tolist() + style_guides, None)),
                strict=True,
            )
        ]
        assert len(difference) == (3 + 2) ** 2
        return sum(value**2 for value in difference) / 3**2

    terms: list[Term] = [GramTerm(LAYER, None, 1.0, torch.tensor(wanted, dtype=torch.float64))]
    for region, guide in enumerate(style_guides):
        target = torch.tensor(sums_oracle(style.tolist(), guide), dtype=torch.float64)
        terms.append(MeansTerm(LAYER, region, stacked_weight(LAYER), target))
    one = gram_oracle(content_guides, None)
    other = gram_oracle(style_guides, None)
    constant = squares(flat(one), flat(other)) / 3**2
    assert constant > 0
    for found in (FEATURES, maps(11)):
        assert sum(judged(*terms, found=found)) + constant == pytest.approx(stacked(found), rel=EXACT)


def test_the_content_loss_by_regions() -> None:
    shares = [simple_oracle(channel, LAYER.stride_px) for channel in CHANNELS.tolist()]
    covered = [sum(share[row][column] for share in shares) for row, column in positions(shares[0])]
    assert min(covered) < 0.5
    assert max(covered) > 1
    expected = content_oracle(FEATURES.tolist(), CONTENT.tolist(), shares, [3.0, 7.0], 10.0)
    assert judged(ContentTerm(LAYER, 10.0, (3.0, 7.0))) == [pytest.approx(expected, rel=EXACT)]
    plain = content_oracle(FEATURES.tolist(), CONTENT.tolist(), [[[1.0] * COLUMNS] * ROWS], [10.0], 0.0)
    assert judged(ContentTerm(LAYER, 10.0)) == [pytest.approx(plain, rel=EXACT)]


def test_the_total_variation_of_an_image() -> None:
    image = make_image(16, 16, seed=3)
    objective = WholeObjective(make_encoder(), Loss((TotalVariationTerm(3.0),)), Size(16, 16))
    trial = objective.forward(image)
    assert trial.loss == pytest.approx(3 * variation_oracle(image.tolist()), rel=EXACT)


def test_the_style_statistics_of_a_guided_image() -> None:
    """Through the network: what a guide on the style's own side asks for."""
    encoder, image = make_encoder(), make_image(32, 32, seed=1)
    guide = CHANNELS[:1].repeat(1, 4, 3)[:, :32, :32]
    layer = SMALL.layer("relu2_1")
    found = encoder(image[None], [layer.name])[layer.name][0].tolist()
    share = simple_oracle(guide[0].tolist(), layer.stride_px)
    T = normalised_oracle(share)
    statistics = style_statistics(encoder, TensorRaster(image), TensorRaster(guide), [layer], tile_px=16)
    (asked,) = statistics.values()
    assert asked.gram.flatten().tolist() == pytest.approx(flat(gram_oracle(found, T)), rel=1e-10)
    assert asked.mean.tolist() == pytest.approx(means_oracle(found, share), rel=1e-10)
    assert asked.sum.tolist() == pytest.approx(sums_oracle(found, T), rel=1e-10)


# What the normalisations are for.


def one_texture(repeats: int) -> tuple[Tensor, Tensor]:
    """A level of 4 x 16 units, so many quarters of which hold one texture; the channel that covers them."""
    texture = make_image(4, 4, seed=0, channels=3)
    found = make_image(4, 16, seed=1, channels=3)
    found[:, :, : 4 * repeats] = texture.repeat(1, 1, repeats)
    channel = torch.zeros(1, 8, 32, dtype=torch.float64)
    channel[:, :, : 8 * repeats] = 1
    return found, channel


@pytest.mark.parametrize("repeats", [1, 2, 4])
def test_guided_grams_and_means_do_not_depend_on_the_area_but_sums_do(repeats: int) -> None:
    """The same texture in a quarter of the level, in half and everywhere: `sum` grows as sqrt(area share)."""
    texture = make_image(4, 4, seed=0, channels=3).tolist()
    gram = torch.tensor(gram_oracle(texture, None), dtype=torch.float64)
    means = torch.tensor(sums_oracle(texture, None), dtype=torch.float64)
    found, channel = one_texture(repeats)
    gain = guidance(channel).mean_gain(LAYER, 0)
    share = repeats / 4
    values = judged(
        GramTerm(LAYER, 0, 1.0, gram),
        MeansTerm(LAYER, 0, 1.0, means, gain, "mean"),
        MeansTerm(LAYER, 0, 1.0, math.sqrt(share) * means, subject="sum"),
        found=found,
        channels=channel,
    )
    assert values == pytest.approx([0, 0, 0], abs=1e-24)
    assert gain == pytest.approx(1 / math.sqrt(share), rel=EXACT)
