"""Which photographs a training is trained and validated on, and what its network's card says of them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pictures import noise, save, truncate

from pipeline.commands import training
from pipeline.commands.training import Shown, Split
from pipeline.errors import InputError
from pipeline.feedforward.training_settings import TrainingSettings
from pipeline.groups import Alone
from pipeline.provenance import file_sha256

SETTINGS = TrainingSettings(size_px=32, style_px=32)


def folder(path: Path, count: int) -> list[Path]:
    return [save(path / f"{index:02}.png", noise(34, 36, seed=index)) for index in range(count)]


def names(paths: tuple[Path, ...]) -> str:
    return " ".join(path.stem for path in paths)


def test_few_photographs_are_validated_on_as_well() -> None:
    split = Split.of([Path(f"{index}.png") for index in range(19)])
    assert len(split.trained_on) == 19
    assert names(split.validated) == "0 1 2 3"


@pytest.mark.parametrize(
    ("count", "validated"),
    [(20, "0"), (40, "0 20"), (200, "0 25 50 75 100 125 150 175"), (161, "0 20 40 60 80 100 120 140")],
)
def test_of_many_some_are_held_out(count: int, validated: str) -> None:
    split = Split.of([Path(f"{index}.png") for index in range(count)])
    assert names(split.validated) == validated
    assert len(split.trained_on) == count - len(split.validated)
    assert not set(split.trained_on) & set(split.validated)


def test_others_take_the_places_of_damaged_ones(tmp_path: Path) -> None:
    paths = folder(tmp_path, 23)
    # The second of them is in no place until the first has lost its own.
    for damaged in paths[:2]:
        truncate(damaged)
    shown = Shown.of(paths, SETTINGS)
    assert names(shown.split.validated) == "02"
    assert names(shown.split.trained_on) == " ".join(f"{index:02}" for index in range(3, 23))
    assert shown.middles.shape == (1, 3, 32, 32)
    assert list(shown.damaged) == paths[:2]
    assert shown.damaged[paths[0]].startswith(f"{paths[0]}: expected a complete image")


def test_what_is_known_to_be_damaged_is_not_trained_on(tmp_path: Path) -> None:
    paths = folder(tmp_path, 6)
    truncate(paths[2])
    shown = Shown.of(paths, SETTINGS)
    assert names(shown.split.validated) == "00 01 03 04"
    assert names(shown.split.trained_on) == "00 01 03 04 05"
    assert len(shown.middles) == 4
    assert list(shown.damaged) == [paths[2]]


def test_photographs_that_are_all_damaged_are_told(tmp_path: Path) -> None:
    paths = [truncate(path) for path in folder(tmp_path, 6)]
    said = f"expected one that can be decoded; found 6 that are damaged, the first of them {paths[0]}: "
    with pytest.raises(InputError, match=re.escape(said)):
        Shown.of(paths, SETTINGS)


def test_photographs_are_read_once_for_their_checksums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    paths = folder(tmp_path / "photos", 40)
    expected = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    job: Any = SimpleNamespace(group=Alone(), state=tmp_path)
    read: list[Path] = []

    def note(path: Path) -> str:
        read.append(path)
        return file_sha256(path)

    monkeypatch.setattr(training, "file_sha256", note)
    for _ in range(2):
        # The card has one hash over all of them, in their order.
        assert list(training._hashed(job, paths).items()) == list(expected.items())
    assert read == paths
    assert capsys.readouterr().err == "taking the checksums of 40 photographs, for the model card\n"
