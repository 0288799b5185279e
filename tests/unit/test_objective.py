from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import SMALL, make_encoder, make_image
from overlapping import Overlap
from torch import Tensor

from pipeline import objective as objectives
from pipeline.features import Encoder
from pipeline.geometry import Box, Size
from pipeline.guidance import Guidance, Propagation, normalise
from pipeline.losses import ContentTerm, GramTerm, Loss, MeansTerm, TotalVariationTerm
from pipeline.objective import TiledObjective, WholeObjective
from pipeline.rasters import TensorRaster
from pipeline.stores import TensorStore
from pipeline.tiles import Tile
from pipeline.workspaces import FolderWorkspace

SIZE = Size(32, 80)
IMAGE = make_image(32, 80, seed=0)
CONTENT = make_image(32, 80, seed=1)
CHANNELS = make_image(32, 80, seed=2, channels=2)
STYLED = [SMALL.layer(name) for name in ("relu1_1", "relu3_1", "relu5_1")]
TARGETS = {layer: make_image(layer.channels, layer.channels, 9, channels=1)[0] for layer in STYLED}
LOSS = Loss(
    (
        ContentTerm(SMALL.layer("relu4_2"), 2.0),
        *(GramTerm(layer, None, 0.1, TARGETS[layer]) for layer in STYLED),
        *(GramTerm(layer, r, 0.3, TARGETS[layer]) for layer in STYLED for r in (0, 1)),
    )
)
MEANS = {layer: make_image(1, layer.channels, 8, channels=1)[0, 0] * 50 for layer in STYLED}
# Every other kind of term.
OTHERS = Loss(
    (
        ContentTerm(SMALL.layer("relu4_2"), 2.0, (0.5, 7.0)),
        TotalVariationTerm(1e-2),
        *(MeansTerm(layer, None, 0.1, MEANS[layer]) for layer in STYLED),
        *(MeansTerm(layer, r, 0.3, MEANS[layer]) for layer in STYLED for r in (0, 1)),
    )
)


def guidance(dtype: torch.dtype = torch.float64) -> Guidance:
    return normalise(TensorRaster(CHANNELS.to(dtype)), STYLED, [Tile.whole(SIZE)], ["a", "b"])


def whole(encoder: Encoder, dtype: torch.dtype = torch.float64, *, loss: Loss = LOSS) -> WholeObjective:
    content = TensorRaster(CONTENT.to(dtype))
    return WholeObjective(encoder, loss, SIZE, content=content, guidance=guidance(dtype))


def tiled(
    encoder: Encoder, dtype: torch.dtype = torch.float64, *, loss: Loss = LOSS, **options: Any
) -> TiledObjective:
    content = TensorRaster(CONTENT.to(dtype))
    options = {"tile_px": 32, **options}
    return TiledObjective(encoder, loss, SIZE, content=content, guidance=guidance(dtype), **options)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def naive_loss(encoder: Encoder, image: Tensor) -> Tensor:
    """METHOD by the letter, from plain tensor operations."""
    features, content = encoder(image[None], SMALL.names), encoder(CONTENT[None], ["relu4_2"])["relu4_2"]
    loss: Tensor = 2.0 * (features["relu4_2"] - content).square().mean()
    for layer in STYLED:
        found = features[layer.name][0]
        grid = found.shape[1:]
        guides = [torch.ones(grid, dtype=torch.float64)]
        for channel in CHANNELS:
            T = channel.view(grid[0], layer.stride_px, grid[1], layer.stride_px).mean(dim=(1, 3))
            guides.append(T / T.square().mean().sqrt())
        for weight, T in zip((0.1, 0.3, 0.3), guides, strict=True):
            rows = (found * T).flatten(1)
            gram = rows @ rows.T / rows.shape[1]
            loss = loss + weight * (gram - TARGETS[layer]).square().sum() / layer.channels**2
    return loss


def test_the_whole_objective_is_the_formula_and_its_gradient() -> None:
    encoder, image = make_encoder(), IMAGE.clone().requires_grad_()
    expected = naive_loss(encoder, image)
    (gradient,) = torch.autograd.grad(expected, image)
    trial = whole(encoder).forward(IMAGE)
    assert trial.loss == pytest.approx(expected.item(), rel=1e-12)
    assert relative(trial.gradient(), gradient) < 1e-12


def naive_others(encoder: Encoder, image: Tensor) -> Tensor:
    """The same for means, content by regions and total variation."""
    features, content = encoder(image[None], SMALL.names), encoder(CONTENT[None], ["relu4_2"])["relu4_2"]

    def share(channel: Tensor, stride: int) -> Tensor:
        rows, columns = SIZE.height // stride, SIZE.width // stride
        return channel.view(rows, stride, columns, stride).mean(dim=(1, 3))

    a, b = (share(channel, 8) for channel in CHANNELS)
    weight = (0.5 * a + 7 * b + (1 - a - b).clamp(min=0) * 2) / (a + b).clamp(min=1)
    loss: Tensor = (weight * (features["relu4_2"] - content).square()).mean()
    steps = (255 * image.diff(dim=1)).square().sum() + (255 * image.diff(dim=2)).square().sum()
    loss = loss + 1e-2 * steps / image.numel()
    for layer in STYLED:
        found = features[layer.name][0]
        guides = [torch.ones(found.shape[1:], dtype=torch.float64)]
        for channel in CHANNELS:
            T = share(channel, layer.stride_px)
            guides.append(T / T.square().mean().sqrt())
        for weight_of, T in zip((0.1, 0.3, 0.3), guides, strict=True):
            means = (found * T).mean(dim=(1, 2))
            loss = loss + weight_of * (means - MEANS[layer]).square().sum() / layer.channels
    return loss


def test_the_other_terms_are_their_formulas_and_gradients() -> None:
    encoder, image = make_encoder(), IMAGE.clone().requires_grad_()
    expected = naive_others(encoder, image)
    (gradient,) = torch.autograd.grad(expected, image)
    for objective in (whole, tiled):
        trial = objective(encoder, loss=OTHERS).forward(IMAGE)
        assert trial.loss == pytest.approx(expected.item(), rel=1e-12)
        assert relative(trial.gradient(), gradient) < 1e-12
    assert min(trial.terms.values()) > 1e-3 * trial.loss


@pytest.mark.parametrize("loss", [LOSS, OTHERS])
def test_the_tiled_objective_is_the_whole_one(loss: Loss) -> None:
    expected = whole(make_encoder(), loss=loss).forward(IMAGE)
    found = tiled(make_encoder(), loss=loss).forward(IMAGE)
    assert found.loss == pytest.approx(expected.loss, rel=1e-12)
    assert found.terms == pytest.approx(expected.terms, rel=1e-12)
    assert relative(found.gradient(), expected.gradient()) < 1e-12


@pytest.mark.parametrize("objective", [whole, tiled])
def test_the_gradient_predicts_a_small_step(objective: Any) -> None:
    judge, step = objective(make_encoder()), 1e-6 * (make_image(32, 80, seed=5) - 0.5)
    slope = float((judge.forward(IMAGE).gradient() * step).sum())
    difference = (judge.forward(IMAGE + step).loss - judge.forward(IMAGE - step).loss) / 2
    assert difference == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("objective", [whole, tiled])
def test_terms_have_readable_names_and_add_up_to_the_loss(objective: Any) -> None:
    trial = objective(make_encoder()).forward(IMAGE)
    assert list(trial.terms)[:3] == ["content relu4_2", "style relu1_1", "style relu3_1"]
    assert "style relu5_1 region 1" in trial.terms
    assert sum(trial.terms.values()) == pytest.approx(trial.loss, rel=1e-12)


@pytest.mark.parametrize("objective", [whole, tiled])
def test_the_image_is_left_alone(objective: Any) -> None:
    image = IMAGE.clone()
    gradient = objective(make_encoder()).forward(image).gradient()
    assert torch.equal(image, IMAGE)
    assert not image.requires_grad
    assert not gradient.requires_grad
    assert gradient.shape == image.shape


@pytest.mark.parametrize("options", [{"keep_tiles": 1}, {"keep_tiles": 99}, {"cache_content": False}])
def test_what_is_kept_changes_nothing(options: dict[str, Any]) -> None:
    plain, other = tiled(make_encoder()).forward(IMAGE), tiled(make_encoder(), **options).forward(IMAGE)
    assert other.loss == plain.loss
    assert torch.equal(other.gradient(), plain.gradient())


@pytest.mark.parametrize("objective", [whole, tiled])
def test_images_and_gradients_in_files_have_the_same_bits(objective: Any, tmp_path: Path) -> None:
    folder = FolderWorkspace(tmp_path, IMAGE.device)
    image = folder.hold("image", TensorStore.of(IMAGE))
    trial, gradient = objective(make_encoder()).forward(image), folder.new("gradient", 3, SIZE, IMAGE.dtype)
    trial.write_gradient(gradient)
    expected = objective(make_encoder()).forward(IMAGE)
    assert trial.loss == expected.loss
    assert torch.equal(gradient.read(Box.whole(SIZE)), expected.gradient())


def test_tiles_read_and_write_what_they_need_once(tmp_path: Path) -> None:
    folder = FolderWorkspace(tmp_path, IMAGE.device)
    image = folder.hold("image", TensorStore.of(IMAGE))
    objective, gradient = tiled(make_encoder()), folder.new("gradient", 3, SIZE, IMAGE.dtype)
    haloed = sum(image.nbytes(tile.haloed) for tile in objective.tiles)
    trial = objective.forward(image)
    assert image.bytes_read == haloed
    trial.write_gradient(gradient)
    assert image.bytes_read == 2 * haloed
    assert (gradient.bytes_read, gradient.bytes_written) == (haloed, haloed)


def test_a_tile_s_guides_are_read_once_in_each_pass() -> None:
    boxes: list[Box] = []

    class Counted:
        size = SIZE

        def read(self, box: Box) -> Tensor:
            boxes.append(box)
            return TensorRaster(CHANNELS).read(box)

    wide = Propagation(grow_units=1)
    guides = normalise(Counted(), STYLED, [Tile.whole(SIZE)], ["a", "b"], wide)
    content = TensorRaster(CONTENT)
    objective = TiledObjective(make_encoder(), OTHERS, SIZE, tile_px=32, content=content, guidance=guides)
    boxes.clear()
    # Their means, and at a deeper layer how much of a unit they cover.
    trial = objective.forward(IMAGE)
    assert len(boxes) == len(objective.tiles)
    trial.gradient()
    assert len(boxes) == 2 * len(objective.tiles)


def test_tiles_are_read_and_written_while_others_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = make_encoder()
    objective = tiled(encoder)
    overlap = Overlap(len(objective.tiles), monkeypatch)
    image, gradient = TensorStore.of(IMAGE), TensorStore(3, SIZE, IMAGE.dtype, IMAGE.device, IMAGE.device)
    overlap.watch(image, "read")
    overlap.watch(gradient, "add")
    with encoder.register_forward_pre_hook(overlap.compute):
        trial = objective.forward(image)
        assert overlap.begun() == {"read": 3, "compute": 3}
        trial.write_gradient(gradient)
        assert overlap.begun() == {"read": 3, "compute": 3, "write": 3}


def test_the_gradient_can_be_asked_for_twice() -> None:
    trial = tiled(make_encoder(), keep_tiles=2).forward(IMAGE)
    assert torch.equal(trial.gradient(), trial.gradient())


def count_forwards(objective: TiledObjective, encoder: Encoder) -> tuple[int, int]:
    """Passes of the encoder for the value, and for the gradient after it."""
    calls: list[int] = []
    with encoder.register_forward_hook(lambda *_: calls.append(1)):
        trial = objective.forward(IMAGE)
        value = len(calls)
        trial.gradient()
    return value, len(calls) - value


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (3, 3)),
        ({"keep_tiles": 1}, (3, 2)),
        ({"keep_tiles": 3}, (3, 0)),
        ({"cache_content": False}, (6, 6)),
        ({"cache_content": False, "keep_tiles": 3}, (6, 0)),
    ],
)
def test_tiles_are_computed_no_more_often_than_needed(
    options: dict[str, Any], expected: tuple[int, int]
) -> None:
    encoder = make_encoder()
    # 80 px in cores of at most 32 px: three tiles.
    assert count_forwards(tiled(encoder, **options), encoder) == expected


@pytest.mark.parametrize("loss", [LOSS, OTHERS])
@pytest.mark.parametrize(
    "options", [{}, {"keep_tiles": 1}, {"keep_tiles": 3}, {"cache_content": False}, {"tile_px": 16}]
)
def test_a_gradient_that_follows_changes_no_bit(options: dict[str, Any], loss: Loss) -> None:
    objective = tiled(make_encoder(), loss=loss, **options)
    expected = objective.forward(IMAGE)
    trial = objective.forward(IMAGE, gradient_follows=True)
    for _ in range(2):
        assert torch.equal(trial.gradient(), expected.gradient())
        assert (trial.loss, trial.terms) == (expected.loss, expected.terms)


def test_a_gradient_that_failed_half_way_counts_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = tiled(make_encoder(), keep_tiles=1)
    expected = objective.forward(IMAGE)
    trial = objective.forward(IMAGE, gradient_follows=True)
    with monkeypatch.context() as patch:
        # After the tile that kept its activations, and with them its part of the content's sum.
        patch.setattr(objectives, "_seen", lambda *_: pytest.fail("out of memory"))
        with pytest.raises(pytest.fail.Exception):
            trial.gradient()
    assert torch.equal(trial.gradient(), expected.gradient())
    assert (trial.loss, trial.terms) == (expected.loss, expected.terms)


def test_the_loss_is_not_known_before_the_gradient_that_was_to_follow() -> None:
    trial = tiled(make_encoder()).forward(IMAGE, gradient_follows=True)
    for name in ("loss", "terms"):
        with pytest.raises(ValueError, match="once the gradient"):
            getattr(trial, name)
    curved = Loss(tuple(term for term in LOSS.terms if not term.is_linear))
    for loss in (curved, Loss((ContentTerm(SMALL.layer("relu4_2")),))):
        objective = tiled(make_encoder(), loss=loss)
        assert objective.forward(IMAGE, gradient_follows=True).loss == objective.forward(IMAGE).loss


def test_a_gradient_that_follows_spares_the_content_and_the_layers_behind_the_style() -> None:
    encoder = make_encoder()
    # The content's layer lies behind those of the styles.
    loss = Loss((ContentTerm(SMALL.layer("relu4_2")), GramTerm(STYLED[0], None, 0.1, TARGETS[STYLED[0]])))
    objective = tiled(encoder, loss=loss, cache_content=False)
    asked: list[set[str]] = []
    with encoder.register_forward_pre_hook(lambda _, arguments: asked.append(set(arguments[1]))):
        trial = objective.forward(IMAGE, gradient_follows=True)
        assert asked == [{STYLED[0].name}] * 3
        asked.clear()
        trial.gradient()
    assert sorted(map(len, asked)) == [1, 1, 1, 2, 2, 2]


def test_freed_memory_is_given_back_every_few_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[None] = []
    monkeypatch.setattr("pipeline.objective.give_back_freed_memory", lambda: given.append(None))
    monkeypatch.setattr("pipeline.objective._TIDY_AFTER", 4)
    shallow = Loss((GramTerm(STYLED[0], None, 0.1, TARGETS[STYLED[0]]),))
    objective = TiledObjective(make_encoder(), shallow, SIZE, tile_px=16)
    assert len(objective.tiles) == 10
    trial = objective.forward(IMAGE)
    assert len(given) == 2
    trial.gradient()
    assert len(given) == 4


def test_the_halo_is_that_of_the_deepest_layer() -> None:
    objective = tiled(make_encoder(), tile_px=16)
    assert objective.tiles[-1].core.left - objective.tiles[-1].haloed.left == 64


@pytest.mark.parametrize("objective", [whole, tiled])
def test_a_dropped_trial_frees_its_graph(objective: Any) -> None:
    trial = objective(make_encoder()).forward(IMAGE)
    gone = weakref.ref(trial.gradient.__self__._image)
    del trial
    gc.collect()
    assert gone() is None


# In bfloat16 most of the deviation are maxima of a pooling that fall on another of four near equals.
@pytest.mark.parametrize("loss", [LOSS, OTHERS])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-4), (torch.bfloat16, 0.25)])
def test_lower_precisions_are_near_and_keep_the_images_precision(
    dtype: torch.dtype, bound: float, loss: Loss
) -> None:
    exact = whole(make_encoder(), loss=loss).forward(IMAGE)
    exact_gradient = exact.gradient()
    for objective in (whole, tiled):
        judge = objective(make_encoder(dtype=dtype), torch.float32, loss=loss)
        trial = judge.forward(IMAGE.to(torch.float32))
        gradient = trial.gradient()
        assert gradient.dtype == torch.float32
        assert trial.loss == pytest.approx(exact.loss, rel=bound)
        assert relative(gradient.to(torch.float64), exact_gradient) < bound


def test_a_term_without_its_source_is_refused() -> None:
    encoder, content = make_encoder(), TensorRaster(CONTENT)
    with pytest.raises(ValueError, match="`content`"):
        WholeObjective(encoder, LOSS, SIZE, guidance=guidance())
    with pytest.raises(ValueError, match="`guidance`"):
        TiledObjective(encoder, LOSS, SIZE, tile_px=32, content=content)
    by_region = Loss((ContentTerm(STYLED[0], 1.0, (1.0, 2.0)),))
    with pytest.raises(ValueError, match="`guidance`"):
        WholeObjective(encoder, by_region, SIZE, content=content)
