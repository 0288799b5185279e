from __future__ import annotations

import pytest
import torch
from networks import make_image
from torch import Tensor

from pipeline.geometry import Size
from pipeline.layers import VGG16, Layer
from pipeline.losses import ContentTerm, GramTerm, Loss, Observation, Statistic, mix_targets, style_weight

# One layer of two channels over the two positions of a 2x4 px level.
LAYER = Layer("relu2_1", 2, 2, 10)
SIZE = Size(2, 4)
FEATURES = torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=torch.float64).view(1, 2, 1, 2)
CONTENT = torch.tensor([[0.0, 2.0], [1.0, 8.0]], dtype=torch.float64).view(1, 2, 1, 2)
GUIDES = torch.tensor([[[2.0, 0.5]], [[1.0, 1.0]]], dtype=torch.float64)
TARGET = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)


def seen(features: Tensor = FEATURES, guides: Tensor = GUIDES, content: Tensor = CONTENT) -> Observation:
    return Observation({"relu2_1": features}, {"relu2_1": guides}, {"relu2_1": content})


def value(*terms: ContentTerm | GramTerm) -> dict[str, float]:
    loss = Loss(terms)
    return {name: term.item() for name, term in loss.judge(loss.measure(seen()), SIZE).items()}


def test_content_is_the_weighted_mean_over_all_elements() -> None:
    assert value(ContentTerm(LAYER, 10.0)) == {"content relu2_1": 10 * (1 + 0 + 4 + 9) / 4}


def test_gram_is_the_weighted_mean_over_the_entries() -> None:
    # F F^T = [[5, 13], [13, 34]], over two positions.
    expected = 100 * ((2.5 - 1) ** 2 + 6.5**2 + 6.5**2 + (17 - 2) ** 2) / 4
    assert value(GramTerm(LAYER, None, 100.0, TARGET)) == {"style relu2_1": expected}


def test_guided_gram_weights_positions_by_the_squared_guide() -> None:
    # T^2 F F^T = [[5, 14.5], [14.5, 42.25]], over two positions.
    expected = 100 * ((2.5 - 1) ** 2 + 7.25**2 + 7.25**2 + (21.125 - 2) ** 2) / 4
    assert value(GramTerm(LAYER, 0, 100.0, TARGET, "sky")) == {"style relu2_1 sky": expected}


def test_guided_gram_of_an_all_ones_channel_is_the_gram() -> None:
    values = value(GramTerm(LAYER, None, 1.0, TARGET), GramTerm(LAYER, 1, 1.0, TARGET))
    assert values["style relu2_1"] == values["style relu2_1 region 1"] > 0


def test_the_loss_at_its_target_is_zero() -> None:
    gram = torch.tensor([[2.5, 6.5], [6.5, 17.0]], dtype=torch.float64)
    assert value(GramTerm(LAYER, None, 1.0, gram)) == {"style relu2_1": 0}


def test_style_weight_is_the_authors() -> None:
    assert style_weight(VGG16.layer("relu1_1")) == 1e3 / 64**2
    assert style_weight(VGG16.layer("relu5_1")) == 1e3 / 512**2


@pytest.mark.parametrize(
    "term",
    [ContentTerm(LAYER, 3.0), GramTerm(LAYER, None, 3.0, TARGET), GramTerm(LAYER, 0, 3.0, TARGET)],
)
def test_gradients_agree_with_finite_differences(term: ContentTerm | GramTerm) -> None:
    loss = Loss((term,))

    def total(features: Tensor) -> Tensor:
        return sum(loss.judge(loss.measure(seen(features)), SIZE).values(), torch.tensor(0.0))

    assert torch.autograd.gradcheck(total, make_image(1, 2, seed=0, channels=2)[None].requires_grad_())


def test_terms_that_agree_on_a_statistic_share_it() -> None:
    loss = Loss((GramTerm(LAYER, 0, 1.0, TARGET, "a"), GramTerm(LAYER, 0, 1.0, 2 * TARGET, "b")))
    assert set(loss.measure(seen())) == {Statistic("second_moment", "relu2_1", 0)}


def test_a_loss_measured_in_parts_is_the_loss_of_the_whole() -> None:
    loss = Loss((ContentTerm(LAYER), GramTerm(LAYER, 0, 1.0, TARGET)))
    left = loss.measure(seen(FEATURES[..., :1], GUIDES[..., :1], CONTENT[..., :1]))
    right = loss.measure(seen(FEATURES[..., 1:], GUIDES[..., 1:], CONTENT[..., 1:]))
    added = loss.judge({key: left[key] + right[key] for key in left}, SIZE)
    assert added == loss.judge(loss.measure(seen()), SIZE)


def test_a_loss_knows_which_layers_it_needs() -> None:
    layers = {name: VGG16.layer(name) for name in ("relu1_1", "relu4_2", "relu5_1")}
    loss = Loss(
        (
            ContentTerm(layers["relu4_2"]),
            GramTerm(layers["relu1_1"], 0, 1.0, torch.zeros(64, 64)),
            GramTerm(layers["relu5_1"], None, 1.0, torch.zeros(512, 512)),
        )
    )
    assert loss.layers == set(layers.values())
    assert loss.deepest == layers["relu5_1"]
    assert loss.content_layers == {layers["relu4_2"]}
    assert loss.guided_layers == {layers["relu1_1"]}


def test_a_loss_without_terms_or_with_a_name_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="a loss has terms"):
        Loss(())
    with pytest.raises(ValueError, match="another name"):
        Loss((ContentTerm(LAYER), ContentTerm(LAYER, 2.0)))


def test_mixed_targets_are_the_weighted_mean() -> None:
    mixed = mix_targets([TARGET, torch.ones(2, 2, dtype=torch.float64)], [3.0, 1.0])
    assert mixed.tolist() == [[1.0, 0.25], [0.25, 1.75]]


def test_mixed_targets_have_the_gradient_of_the_weighted_sum_of_losses() -> None:
    targets, weights = [TARGET, TARGET.flip(0) * 3], [0.75, 0.25]
    features = FEATURES.clone().requires_grad_()

    def gradient(*terms: GramTerm) -> tuple[float, Tensor]:
        loss = Loss(terms)
        total = torch.stack([*loss.judge(loss.measure(seen(features)), SIZE).values()]).sum()
        return total.item(), torch.autograd.grad(total, features)[0]

    mixed = gradient(GramTerm(LAYER, None, 1.0, mix_targets(targets, weights)))
    summed = gradient(*[GramTerm(LAYER, None, w, t, str(w)) for w, t in zip(weights, targets, strict=True)])
    torch.testing.assert_close(mixed[1], summed[1], rtol=1e-13, atol=0)
    # The constant of the docstring: the weighted variance of the targets.
    variance = 0.75 * 0.25 * (targets[0] - targets[1]).square().mean().item()
    assert summed[0] - mixed[0] == pytest.approx(variance, rel=1e-12)


@pytest.mark.parametrize("weights", [[], [1.0], [1.0, 0.0], [1.0, -1.0]])
def test_weights_that_do_not_fit_the_targets_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="positive weights"):
        mix_targets([TARGET, TARGET], weights)
