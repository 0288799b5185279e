from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import SMALL, OxfordFormat, make_image, make_random_weights
from pictures import truncate
from pydantic import ValidationError
from running import TESTS, run_ranks
from torch.nn.functional import avg_pool2d

from pipeline.errors import CheckpointError, InputError
from pipeline.features import Encoder
from pipeline.feedforward.photographs import Damage, Photographs
from pipeline.feedforward.training import Training, Validation, train
from pipeline.feedforward.training_masks import training_masks
from pipeline.feedforward.training_record import LossPoint
from pipeline.feedforward.training_settings import TrainingSettings
from pipeline.feedforward.training_state import restore_state, save_state
from pipeline.machine import Machine

SIDE = 32
CPU = Machine(torch.device("cpu"), torch.float32, 1)
SETTINGS = TrainingSettings(size_px=SIDE, style_px=SIDE, batch=2, iterations=6, validate_every=3)
STYLES = {name: make_image(40, 36, seed, dtype=torch.float32) for seed, name in enumerate(("a", "b"))}


def make_encoder() -> Encoder:
    return Encoder(make_random_weights(SMALL, 0, torch.float32), SMALL, OxfordFormat())


def new(styles: dict[str, torch.Tensor] = STYLES, machine: Machine = CPU, **settings: Any) -> Training:
    told = TrainingSettings.model_validate({**SETTINGS.model_dump(), **settings})
    return Training.new(told, make_encoder(), styles, machine)


def batch(number: int) -> torch.Tensor:
    return torch.stack([make_image(SIDE, SIDE, 2 * number + place, dtype=torch.float32) for place in (0, 1)])


def batches(first: int = 0) -> Iterator[torch.Tensor]:
    return (batch(number) for number in itertools.count(first))


def go(training: Training, *, stop_after: int | None = None, saved: list[int] | None = None) -> str:
    """Trains on from where it is; it may be stopped after an iteration."""
    return train(
        training,
        batches(training.iteration),
        batch(99),
        save=lambda: None if saved is None else saved.append(training.iteration),
        save_every_s=1e9,
        on_step=lambda *_: None,
        on_validation=lambda _: None,
        should_stop=lambda: training.iteration == stop_after,
    )


def parameters(training: Training) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in training.network.named_parameters()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_masks_cut_a_crop_into_equal_parts() -> None:
    ((top, bottom),) = training_masks("top-bottom", 2, 4, seed=0)
    assert top.tolist() == [[1] * 4, [1] * 4, [0] * 4, [0] * 4]
    assert torch.equal(bottom, 1 - top)
    ((left, middle, right),) = training_masks("left-right", 3, 6, seed=0)
    assert [int(part.sum()) for part in (left, middle, right)] == [12, 12, 12]
    assert left[0].tolist() == [1, 1, 0, 0, 0, 0]
    assert right[5].tolist() == [0, 0, 0, 0, 1, 1]
    ((disc, rest),) = training_masks("circle", 2, 4, seed=0)
    assert torch.equal(disc + rest, torch.ones(4, 4))
    assert disc.sum() == 8
    assert disc[1:3, 1:3].min() == 1
    assert disc[0, 0] == disc[3, 3] == disc[0, 3] == disc[3, 0] == 0


def test_varied_masks_have_many_shapes_and_shares() -> None:
    masks = training_masks("varied", 3, 32, seed=0)
    assert masks.shape == (32, 3, 32, 32)
    assert torch.equal(masks.sum(dim=1), torch.ones(32, 32, 32))
    shares = masks.mean(dim=(2, 3))
    # A tenth of the square at least: three tenths of a fair third.
    assert shares.min() >= 0.1 - 1 / 1024
    assert shares.max() > 0.6
    # No region is always the first.
    assert {int(order) for order in masks[:, :, 0, 0].argmax(dim=1)} == {0, 1, 2}
    assert torch.equal(masks, training_masks("varied", 3, 32, seed=0))
    assert not torch.equal(masks, training_masks("varied", 3, 32, seed=1))


def test_a_crop_has_its_own_mask_whatever_the_batch() -> None:
    """The loss of a batch of two is the mean of those of its crops, each with the mask of its number."""
    both, first = new(mask="varied"), new(mask="varied", batch=1)
    pair = batch(3)
    each = [first.step(pair[:1])]
    first.network.load_state_dict(both.network.state_dict())
    each.append(first.step(pair[1:]))
    first_point, second_point = (point for point in each if point is not None)
    together = both.step(pair)
    assert together is not None
    assert together.loss == pytest.approx((first_point.loss + second_point.loss) / 2, rel=1e-4)
    fixed = new(batch=1).step(pair[:1])
    assert fixed is not None
    assert fixed.loss != first_point.loss


def test_a_dark_style_weighs_as_much_as_a_bright_one() -> None:
    """A style of half the brightness has Gram matrices of a quarter, and errors of a sixteenth, about."""
    styles = {"bright": STYLES["a"], "dark": STYLES["a"] / 2}
    found = {}
    for balance in ("paper", "styles"):
        # A picture without style terms of its own, so that each error is about its target's square.
        point = new(styles, balance=balance).validate(torch.zeros(1, 3, SIDE, SIDE)).point
        found[balance] = point.terms["style relu1_2 bright"] / point.terms["style relu1_2 dark"]
    assert found["styles"] < found["paper"] / 3


@pytest.mark.parametrize("colour", ["rgb", "luminance"])
def test_the_loss_is_the_papers(colour: str) -> None:
    """Written out in float64: content + styles by region + total variation, mean over the batch."""
    training = new(colour=colour, tv_weight=1e-3)
    encoder = Encoder(make_random_weights(SMALL, 0), SMALL, OxfordFormat(), dtype=torch.float64)
    contents = batch(7)
    found = training.validate(contents)

    def luma(images: torch.Tensor) -> torch.Tensor:
        grey = 0.299 * images[..., 0, :, :] + 0.587 * images[..., 1, :, :] + 0.114 * images[..., 2, :, :]
        return torch.stack([grey] * 3, dim=-3)

    shown = contents.double() if colour == "rgb" else luma(contents.double())
    (masks,) = training_masks("top-bottom", 2, SIDE, seed=0)
    with torch.no_grad():
        painted = training.network(shown.float(), masks.expand(2, -1, -1, -1)).double()
    painted = painted if colour == "rgb" else luma(painted)
    torch.testing.assert_close(found.painted.double(), painted, rtol=0, atol=1e-5)
    expected: dict[str, float] = {}

    def add(name: str, value: float) -> None:
        expected[name] = expected.get(name, 0.0) + value / 2

    styles = {
        name: style.double() if colour == "rgb" else luma(style.double()) for name, style in STYLES.items()
    }
    for image, content in zip(painted, shown, strict=True):
        features = encoder(image[None], ["relu1_2", "relu2_2", "relu3_3", "relu4_3"])
        difference = features["relu3_3"] - encoder(content[None], ["relu3_3"])["relu3_3"]
        add("content relu3_3", float(difference.square().mean()))
        for region, (name, style) in enumerate(styles.items()):
            # 40x36 px are reflected up to 48x48.
            padded = torch.from_numpy(np.pad(style.numpy(), [(0, 0), (0, 8), (0, 12)], mode="reflect"))
            for layer, stride in (("relu1_2", 1), ("relu2_2", 2), ("relu3_3", 4), ("relu4_3", 8)):
                wanted = encoder(padded[None], [layer])[layer][0].flatten(1)
                maps = features[layer][0].flatten(1)
                share = avg_pool2d(masks[region : region + 1].double(), stride).flatten()
                gram = (maps * share) @ (maps * share).T / share.square().sum()
                target = wanted @ wanted.T / wanted.shape[1]
                error = float((gram - target).square().mean())
                add(f"style {layer} {name}", 5 / len(maps) ** 2 / 2 * error)
        steps = (image[:, :, 1:] - image[:, :, :-1]).square().sum()
        steps += (image[:, 1:] - image[:, :-1]).square().sum()
        add("total variation", 1e-3 * 255**2 * float(steps))
    assert set(found.point.terms) == set(expected)
    for name, value in expected.items():
        assert found.point.terms[name] == pytest.approx(value, rel=1e-4), name
    assert found.point.loss == pytest.approx(sum(expected.values()), rel=1e-4)


def test_it_lowers_its_loss() -> None:
    training = new(iterations=20, validate_every=20)
    before = training.validate(batch(99)).point.loss
    assert go(training) == "iterations"
    assert training.validations[-1].loss < before / 2
    assert training.trace[0].iteration == 1
    assert training.trace[-1].iteration == 20


def test_one_region_has_no_mask() -> None:
    training = new({"everywhere": STYLES["a"]})
    assert training.network.guides == 0
    assert go(training) == "iterations"


def test_the_seed_decides_the_first_weights_and_nothing_else_is_touched() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = new(), new(), new(seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(parameters(first), parameters(again))
    assert not same(parameters(first), parameters(other))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_that_was_stopped_goes_on_bit_for_bit(tmp_path: Path, precision: str) -> None:
    machine = Machine(torch.device("cpu"), getattr(torch, precision), 1)
    whole = new(machine=machine)
    saved: list[int] = []
    assert go(whole) == "iterations"
    state = tmp_path / "state.safetensors"
    first, looked_at = new(machine=machine), Photographs([], SIDE, 0)
    assert not restore_state(state, first, looked_at, "key")
    assert go(first, stop_after=4, saved=saved) == "stopped"
    assert saved == [4]
    damaged = {Path("photos/a b.png"): Damage(told="half of it", first_crop=7)}
    looked_at.learn(damaged)
    save_state(state, first, looked_at, "key")
    second, looked_at = new(machine=machine), Photographs([], SIDE, 0)
    assert restore_state(state, second, looked_at, "key")
    assert looked_at.damaged == damaged
    assert second.iteration == 4
    assert second.seconds == first.seconds > 0
    assert go(second) == "iterations"
    assert same(parameters(second), parameters(whole))
    assert second.trace == whole.trace
    assert second.validations == whole.validations


def test_a_stop_after_the_last_iteration_stops_nothing() -> None:
    assert go(new(), stop_after=6) == "iterations"


def test_states_that_cannot_be_gone_on_from_are_told(tmp_path: Path) -> None:
    state = tmp_path / "state.safetensors"
    training, photographs = new(), Photographs([], SIDE, 0)
    save_state(state, training, photographs, "key")
    with pytest.raises(CheckpointError, match="expected the state of this training; found one of other"):
        restore_state(state, training, photographs, "another key")
    whole = state.read_bytes()
    middle = len(whole) // 2
    state.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(CheckpointError, match="as it was written; found a damaged one"):
        restore_state(state, training, photographs, "key")
    state.write_bytes(whole)
    truncate(state)
    with pytest.raises(CheckpointError, match="expected a training's state; found something else"):
        restore_state(state, training, photographs, "key")


def test_patience_ends_it() -> None:
    """At a learning rate that changes nothing no validation is better than the first."""
    training = new(iterations=50, validate_every=2, patience=3, learning_rate=1e-30)
    assert go(training) == "early"
    assert training.iteration == 8
    assert len(training.validations) == 4


def scripted(training: Training, monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Makes the validations find these losses one after the other, whatever the weights."""
    found = iter(losses)

    def point(_: Any) -> LossPoint:
        return LossPoint(iteration=training.iteration, loss=next(found), terms={})

    validate = training.validate

    def judged(crops: torch.Tensor) -> Validation:
        with monkeypatch.context() as context:
            context.setattr(training, "_point", point)
            return validate(crops)

    monkeypatch.setattr(training, "validate", judged)


@pytest.mark.parametrize("interrupted", [False, True])
def test_patience_keeps_the_weights_of_the_best_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    settings: dict[str, Any] = {"iterations": 50, "validate_every": 1, "patience": 2}
    training = new(**settings)
    losses = [5.0, 3.0, 4.0, 3.0, 9.0]
    scripted(training, monkeypatch, losses)
    after: list[dict[str, torch.Tensor]] = []
    step = training.step

    def noted(shown: torch.Tensor) -> LossPoint | None:
        point = step(shown)
        after.append(parameters(training))
        return point

    monkeypatch.setattr(training, "step", noted)
    if interrupted:
        # The best weights are in the state: the last ones that it has are others.
        assert go(training, stop_after=3) == "stopped"
        save_state(tmp_path / "state.safetensors", training, Photographs([], SIDE, 0), "key")
        training = new(**settings)
        scripted(training, monkeypatch, losses[3:])
        assert restore_state(tmp_path / "state.safetensors", training, Photographs([], SIDE, 0), "key")
        assert same(parameters(training), after[2])
    assert go(training) == "early"
    assert (training.iteration, training.kept_iteration, training.best_validation.loss) == (4, 2, 3.0)
    assert same(parameters(training), after[1])
    assert not same(after[1], after[2])


def test_without_patience_the_last_weights_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    training = new(iterations=3, validate_every=1)
    scripted(training, monkeypatch, [3.0, 4.0, 5.0])
    assert go(training) == "iterations"
    assert (training.kept_iteration, training.best_validation.iteration, training.best) == (3, 1, {})


def test_divergence_is_told() -> None:
    training = new(learning_rate=1e20)
    with pytest.raises(
        InputError, match="expected a loss that is a number; found none: training has diverged"
    ):
        go(training)


def test_regions_too_small_for_the_loss_network_are_refused() -> None:
    styles = {str(index): STYLES["a"] for index in range(40)}
    with pytest.raises(InputError, match="--size-px: expected crops in which every region covers a unit"):
        new(styles)


def test_validations_are_shown_with_their_pictures() -> None:
    shown: list[Validation] = []
    training = new()
    train(
        training,
        batches(),
        batch(99),
        save=lambda: None,
        save_every_s=1e9,
        on_step=lambda *_: None,
        on_validation=shown.append,
        should_stop=lambda: False,
    )
    assert [validation.point.iteration for validation in shown] == [3, 6]
    assert torch.equal(shown[0].contents, batch(99))
    assert shown[1].painted.shape == (2, 3, SIDE, SIDE)


def test_states_are_saved_now_and_then() -> None:
    training = new()
    saved: list[int] = []
    train(
        training,
        batches(),
        batch(99),
        save=lambda: saved.append(training.iteration),
        save_every_s=0,
        on_step=lambda *_: None,
        on_validation=lambda _: None,
        should_stop=lambda: False,
    )
    assert saved == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "wrong", [{"size_px": 40}, {"size_px": 16}, {"learning_rate": 0}, {"colour": "sepia"}, {"epochs": 3}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainingSettings(**wrong)


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Both have the same bits in the end, and those of one process but for the order of sums."""
    for count, name in ((1, "one"), (2, "two")):
        folder = tmp_path / name
        folder.mkdir()
        for done in run_ranks([str(TESTS / "training_ranks.py"), str(folder)], folder, count):
            assert done.returncode == 0, done.stderr
    one, first, second = (
        json.loads((tmp_path / file).read_text(encoding="utf-8"))
        for file in ("one/rank-0.json", "two/rank-0.json", "two/rank-1.json")
    )
    assert first == second
    assert first["saved"] == [1, 2, 3]
    assert first["losses"] == pytest.approx(one["losses"], rel=1e-4)
    alone, together = (torch.load(tmp_path / folder / "weights.pt") for folder in ("one", "two"))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_what_the_leader_alone_fails_in_ends_it_for_both(tmp_path: Path) -> None:
    for done in run_ranks([str(TESTS / "training_ranks.py"), str(tmp_path), "failing"], tmp_path, 2):
        assert done.returncode == 0, done.stderr
    leader, other = (
        json.loads((tmp_path / f"rank-{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)
    )
    assert leader["ending"] == "disk: expected room; found none. [0, 1]"
    assert other["ending"] == "process 0 of 2: disk: expected room; found none. [0, 1]"
