from __future__ import annotations

import io

import pytest

from pipeline.console import Reporter, say


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_what_is_said_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("done")
    assert capsys.readouterr() == ("", "done\n")


def test_a_log_gets_a_line_every_ten_seconds_and_the_last_one(clock: list[float]) -> None:
    log = io.StringIO()
    with Reporter("a 256", 80, log) as reporter:
        for done in range(81):
            reporter.update(done, f"loss {done}")
            clock[0] += 1
    assert log.getvalue().splitlines() == [
        "a 256: 0/80. loss 0",
        "a 256: 10/80, about 70 s left. loss 10",
        "a 256: 20/80, about 60 s left. loss 20",
        "a 256: 30/80, about 50 s left. loss 30",
        "a 256: 40/80, about 40 s left. loss 40",
        "a 256: 50/80, about 30 s left. loss 50",
        "a 256: 60/80, about 20 s left. loss 60",
        "a 256: 70/80, about 10 s left. loss 70",
        "a 256: 80/80. loss 80",
    ]


def test_the_time_left_is_reckoned_from_where_an_earlier_run_had_come_to(clock: list[float]) -> None:
    log = io.StringIO()
    with Reporter("a 256", 80, log) as reporter:
        clock[0] += 1000
        reporter.go_on(60)
        for done in (61, 62, 63):
            clock[0] += 10
            reporter.update(done)
    assert log.getvalue().splitlines() == [
        "a 256: 61/80, about 3 min left. ",
        "a 256: 62/80, about 3 min left. ",
        "a 256: 63/80, about 3 min left. ",
    ]


def test_a_long_step_tells_its_share_of_the_whole(clock: list[float]) -> None:
    log = io.StringIO()
    with Reporter("a 32768", 1, log) as reporter:
        clock[0] += 1000
        reporter.update(0, "loss 4")
        reporter.go_on(0, 0.2)
        for tile in range(1, 5):
            clock[0] += 60
            reporter.update(0, f"tile {tile}", 0.2 + 0.2 * tile)
        reporter.update(1, "loss 3")
    assert log.getvalue().splitlines() == [
        "a 32768: 0/1. loss 4",
        "a 32768: 0/1, about 3 min left. tile 1",
        "a 32768: 0/1, about 2 min left. tile 2",
        "a 32768: 0/1, about 60 s left. tile 3",
        "a 32768: 0/1, about 0 s left. tile 4",
        "a 32768: 1/1. loss 3",
    ]


def test_a_bar_counts_whole_steps_and_fills_by_their_share() -> None:
    terminal = Terminal()
    with Reporter("a 256", 8, terminal) as reporter:
        reporter.go_on(2)
        reporter.update(2, "tile 3", 0.3)
    assert "2/8" in terminal.getvalue()


def test_quick_work_is_two_lines(clock: list[float]) -> None:
    log = io.StringIO()
    with Reporter("a", 3, log) as reporter:
        for done in range(4):
            reporter.update(done)
    assert log.getvalue() == "a: 0/3. \na: 3/3. \n"
    assert clock == [100.0]


def test_a_terminal_gets_a_bar() -> None:
    terminal = Terminal()
    with Reporter("a 256", 80, terminal) as reporter:
        reporter.update(80, "loss 3")
    shown = terminal.getvalue()
    assert "a 256" in shown
    assert "80/80" in shown
    assert "loss 3" in shown
