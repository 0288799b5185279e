from __future__ import annotations

import pytest

from pipeline.objective import Pass
from pipeline.optimiser import Step
from pipeline.rendering.pace import Pace


def test_a_gradient_counts_as_three_losses_and_the_work_ends_at_one() -> None:
    told: list[tuple[float, str]] = []
    pace = Pace(2, checked=True, on_share=lambda share, done: told.append((share, done)))
    passes: list[Pass] = ["loss", "gradient", "loss", "gradient", "loss"]
    for of in passes:
        for tile in (1, 2):
            pace.tile(of, tile, 2)
    assert [round(9 * share, 6) for share, _ in told] == [0.5, 1, 2.5, 4, 4.5, 5, 6.5, 8, 8.5, 9]
    assert told[2][1] == "28 %, gradient: tile 1 of 2"
    assert told[-1][1] == "100 %, loss: tile 2 of 2"


def test_an_unchecked_last_step_ends_with_its_gradient() -> None:
    told: list[float] = []
    pace = Pace(1, checked=False, on_share=lambda share, _: told.append(share))
    pace.tile("loss", 1, 1)
    pace.tile("gradient", 1, 1)
    assert told == [0.25, 1.0]


def test_it_goes_on_where_an_earlier_run_had_come_to() -> None:
    told: list[float] = []
    pace = Pace(2, checked=False, on_share=lambda share, _: told.append(share))
    pace.step(Step(1, 2, 2, 1, 3.0, {}, 1.0, 60.0))
    pace.tile("gradient", 1, 2)
    # The loss of the image that is gone on from was known, or is taken again: it is counted as done.
    assert told == [(4 + 1 + 1.5) / 8]


@pytest.mark.parametrize("checked", [True, False])
def test_a_loss_alone_is_all_of_no_iterations(checked: bool) -> None:
    told: list[float] = []
    pace = Pace(0, checked=checked, on_share=lambda share, _: told.append(share))
    pace.tile("loss", 1, 1)
    assert told == [1.0]


def test_rejected_trials_are_not_foreseen() -> None:
    told: list[float] = []
    pace = Pace(1, checked=True, on_share=lambda share, _: told.append(share))
    rejected: list[Pass] = ["loss", "gradient", "loss", "loss"]
    for of in rejected:
        pace.tile(of, 1, 1)
    assert told == [0.2, 0.8, 1.0, 1.0]
