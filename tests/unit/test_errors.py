from __future__ import annotations

import pytest

from pipeline.errors import (
    CheckpointError,
    ConfigError,
    InputError,
    PipelineError,
    ResourceError,
    WeightsError,
)


def test_a_mistake_is_told_in_one_line() -> None:
    error = InputError("a.png", expected="an image", found="a text\nof two lines", fix="Export it again")
    assert str(error) == "a.png: expected an image; found a text of two lines. Export it again."


def test_without_a_fix_the_line_ends_with_what_was_found() -> None:
    assert str(ConfigError("config.yaml: seed", expected="a number", found="'x'")) == (
        "config.yaml: seed: expected a number; found 'x'."
    )


def test_a_sentence_keeps_its_kind_and_gets_one_full_stop() -> None:
    error = WeightsError.stating("the file\n is damaged.")
    assert type(error) is WeightsError
    assert str(error) == "the file is damaged."


@pytest.mark.parametrize("kind", [ConfigError, InputError, WeightsError, CheckpointError, ResourceError])
def test_every_kind_is_a_pipeline_error(kind: type[PipelineError]) -> None:
    assert issubclass(kind, PipelineError)
    assert not issubclass(kind, OSError | ValueError)
