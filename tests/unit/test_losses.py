from __future__ import annotations

import pytest
import torch
from networks import make_image
from torch import Tensor

from pipeline.geometry import Size
from pipeline.layers import VGG16, Layer
from pipeline.losses import (
    PIXELS,
    ContentTerm,
    GramTerm,
    Loss,
    MeansTerm,
    Observation,
    Statistic,
    Term,
    TotalVariationTerm,
    mix_targets,
    stacked_weight,
)

# One layer of two channels over the two positions of a 2x4 px level.
LAYER = Layer("relu2_1", 2, 2, 10)
SIZE = Size(2, 4)
FEATURES = torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=torch.float64).view(1, 2, 1, 2)
CONTENT = torch.tensor([[0.0, 2.0], [1.0, 8.0]], dtype=torch.float64).view(1, 2, 1, 2)
GUIDES = torch.tensor([[[2.0, 0.5]], [[1.0, 1.0]]], dtype=torch.float64)
TARGET = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
MEANS = torch.tensor([1.0, 6.0], dtype=torch.float64)
# The first unit lies in both regions, the second half in the first.
SHARES = torch.tensor([[[1.0, 0.5]], [[1.0, 0.0]]], dtype=torch.float64)


def seen(features: Tensor = FEATURES, guides: Tensor = GUIDES, content: Tensor = CONTENT) -> Observation:
    shares = {"relu2_1": SHARES[..., : features.shape[3]]}
    return Observation({"relu2_1": features}, {"relu2_1": guides}, {"relu2_1": content}, shares)


def value(*terms: Term) -> dict[str, float]:
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


def test_means_are_the_weighted_mean_over_the_channels() -> None:
    # <F> = (1.5, 4).
    expected = 100 * (0.5**2 + 2**2) / 2
    assert value(MeansTerm(LAYER, None, 100.0, MEANS)) == {"means relu2_1": expected}


def test_guided_means_weight_positions_by_the_guide() -> None:
    # <T F> = (3, 8.5) / 2.
    expected = 100 * ((1.5 - 1) ** 2 + (4.25 - 6) ** 2) / 2
    assert value(MeansTerm(LAYER, 0, 100.0, MEANS, subject="sky")) == {"means relu2_1 sky": expected}


def test_a_gain_multiplies_the_means() -> None:
    # sum(T F) / sum(T) = (3, 8.5) / 2.5.
    expected = ((1.2 - 1) ** 2 + (3.4 - 6) ** 2) / 2
    found = value(MeansTerm(LAYER, 0, 1.0, MEANS, gain=1 / 1.25))
    assert found == {"means relu2_1 region 0": pytest.approx(expected, rel=1e-14)}


def test_content_by_regions_weights_each_position() -> None:
    # At the first unit both regions share the weight, the second is half region 0, half uncovered.
    shared, half = (3 + 5) / 2, 0.5 * 3 + 0.5 * 10
    expected = (shared * (1 + 4) + half * (0 + 9)) / 4
    assert value(ContentTerm(LAYER, 10.0, (3.0, 5.0))) == {"content relu2_1": expected}


def test_equal_content_weights_are_one_weight() -> None:
    assert value(ContentTerm(LAYER, 10.0, (10.0, 10.0))) == value(ContentTerm(LAYER, 10.0))


def test_content_weights_that_do_not_fit_the_regions_are_refused() -> None:
    with pytest.raises(ValueError, match="2 regions need as many content weights"):
        value(ContentTerm(LAYER, 10.0, (3.0,)))


def test_total_variation_is_the_weighted_mean_over_the_elements() -> None:
    loss = Loss((TotalVariationTerm(2.0),))
    pixels = torch.zeros(3, 3, 5, dtype=torch.float64)
    pixels[:, :, 1:] = 0.1
    # One step of 25.5 in each of two rows of 2 x 4 pixels.
    (found,) = loss.judge(loss.measure(Observation({}, {}, {}, pixels=pixels)), SIZE).values()
    assert found.item() == pytest.approx(2 * 2 * 25.5**2 / 8, rel=1e-14)
    with pytest.raises(ValueError, match="needs the pixels"):
        loss.measure(seen())


def test_the_means_weigh_two_by_channels_in_the_stacked_form() -> None:
    assert stacked_weight(VGG16.layer("relu1_1")) == 2 / 64


@pytest.mark.parametrize(
    "term",
    [
        ContentTerm(LAYER, 3.0),
        ContentTerm(LAYER, 3.0, (2.0, 7.0)),
        GramTerm(LAYER, None, 3.0, TARGET),
        GramTerm(LAYER, 0, 3.0, TARGET),
        MeansTerm(LAYER, None, 3.0, MEANS),
        MeansTerm(LAYER, 0, 3.0, MEANS, 1.7),
    ],
)
def test_gradients_agree_with_finite_differences(term: Term) -> None:
    loss = Loss((term,))

    def total(features: Tensor) -> Tensor:
        return sum(loss.judge(loss.measure(seen(features)), SIZE).values(), torch.tensor(0.0))

    assert torch.autograd.gradcheck(total, make_image(1, 2, seed=0, channels=2)[None].requires_grad_())


def test_terms_that_agree_on_a_statistic_share_it() -> None:
    loss = Loss((GramTerm(LAYER, 0, 1.0, TARGET, "a"), GramTerm(LAYER, 0, 1.0, 2 * TARGET, "b")))
    assert set(loss.measure(seen())) == {Statistic("second_moment", "relu2_1", 0)}


def test_terms_that_differ_in_what_they_sum_do_not_share() -> None:
    weighted, plain = ContentTerm(LAYER, 10.0, (3.0, 5.0)), ContentTerm(LAYER, 10.0)
    other = ContentTerm(LAYER, 1.0, (3.0, 5.0))
    assert len({weighted.statistic, plain.statistic, other.statistic}) == 3
    gram, means = GramTerm(LAYER, 0, 1.0, TARGET), MeansTerm(LAYER, 0, 1.0, MEANS)
    assert gram.statistic != means.statistic


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
    assert (loss.shared_layers, loss.needs_pixels) == (frozenset(), False)


def test_a_loss_on_pixels_needs_no_layer_of_the_network() -> None:
    loss = Loss((TotalVariationTerm(1.0),))
    assert (loss.layers, loss.needs_pixels) == (frozenset(), True)
    assert (loss.deepest, loss.deepest.stride_px, loss.deepest.halo_px) == (PIXELS, 1, 1)
    weighted = Loss((TotalVariationTerm(1.0), ContentTerm(LAYER, 1.0, (1.0, 2.0))))
    assert weighted.deepest == LAYER
    assert weighted.shared_layers == {LAYER}
    assert weighted.guided_layers == frozenset()


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
