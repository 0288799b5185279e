"""The golden loss trace: no change in results is the same loss, iteration by iteration.

Tolerances. In float64 the render amplifies a disturbance of its start image hardly at all: one of 1e-12 moves
no loss by more than 3e-13 of itself, one thread instead of two or plain convolutions instead of oneDNN's move
it by 3e-16. Another processor rounds differently at 1e-16, so 1e-9 leaves room for all of them, and every
change of a formula, a weight or the line search is far outside. In float32 the history, kept in bfloat16, and
the line search amplify rounding: disturbances of 1e-7 and 1e-6 moved losses by up to 7e-3, so the first two
losses are held to 1e-5 and the later ones to 3e-2.
"""

from __future__ import annotations

import pytest
import torch
from make_trace import TRACE, lines_of, render

Line = tuple[str, float]


def parsed(lines: list[str]) -> list[Line]:
    """Each line's words before its last, and the last as a number."""
    return [(words, float(number)) for words, _, number in (line.rpartition(" ") for line in lines)]


def golden(precision: str) -> list[Line]:
    lines = TRACE.read_text(encoding="utf-8").splitlines()
    return parsed([line for line in lines if line.startswith(f"{precision} ")])


def test_in_float64_nothing_has_changed() -> None:
    found, expected = parsed(lines_of(torch.float64)), golden("float64")
    # Passes and names of terms are part of the words.
    assert [words for words, _ in found] == [words for words, _ in expected]
    assert [loss for _, loss in found] == pytest.approx([loss for _, loss in expected], rel=1e-9)


def test_in_float32_it_is_the_same_descent() -> None:
    found = [step.loss for step in render(torch.float32).trace]
    expected = [loss for _, loss in golden("float32")]
    assert found[:2] == pytest.approx(expected[:2], rel=1e-5)
    assert found == pytest.approx(expected, rel=3e-2)


def test_the_trace_descends_and_tells_every_term() -> None:
    trace = golden("float64")
    losses = [loss for words, loss in trace if len(words.split()) == 3 and words.split()[2].isdigit()]
    assert len(losses) == 9
    assert losses == sorted(losses, reverse=True)
    last = [
        loss for words, loss in trace if words.startswith("float64 8 ") and not words.split()[2].isdigit()
    ]
    assert len(last) == 1 + 2 * 5
    assert sum(last) == pytest.approx(losses[-1], rel=1e-12)
