"""Every error that a user can cause, as one line.

The tree:

    PipelineError            the base: what was expected, what was found, where, what to do
    |-- ConfigError          config.yaml says something that cannot be
    |   `-- UnfitError       the settings of an artwork do not suit the sizes of its images
    |-- InputError           a file the user named is missing, unreadable or unsuitable
    |-- WeightsError         a model file is missing, withdrawn, or not the one that was pinned
    |-- CheckpointError      the saved state of an interrupted run is damaged, or another run's
    |-- ResourceError        the machine cannot do what was asked: memory, disk, device
    `-- ToldError            another process has told it already

Anything else that is raised is a bug and shows its traceback.
"""

from __future__ import annotations

from typing import Self


class PipelineError(Exception):
    """A mistake in what the user gave, told in one line.

    Args:
        where: The file, key or option at fault, as the user wrote it.
        expected: What would have been right, as the rest of "expected ...".
        found: What was there instead.
        fix: What to do, as a sentence without its full stop; empty when `expected` says it already.
    """

    def __init__(self, where: object, *, expected: str, found: str, fix: str = "") -> None:
        line = f"{where}: expected {expected}; found {found}."
        super().__init__(" ".join(f"{line} {fix}.".split() if fix else line.split()))

    @classmethod
    def stating(cls, sentence: str) -> Self:
        """The error whose line is `sentence`, for one that reads better than "expected ...; found ..."."""
        error = cls.__new__(cls)
        Exception.__init__(error, " ".join(sentence.split()).rstrip(".") + ".")
        return error


class ConfigError(PipelineError):
    """config.yaml says something that cannot be."""


class UnfitError(ConfigError):
    """The settings of one artwork do not suit the sizes of its images; the others are no worse for it."""


class InputError(PipelineError):
    """A file the user named is missing, unreadable or unsuitable."""


class WeightsError(PipelineError):
    """A model file is missing, withdrawn, or not the one that was pinned."""


class CheckpointError(PipelineError):
    """The saved state of an interrupted run is damaged, or another run's."""


class ResourceError(PipelineError):
    """The machine cannot do what was asked: memory, disk or device."""


class ToldError(PipelineError):
    """A mistake that another process of this one's group has told already: this one ends in silence."""

    def __init__(self) -> None:
        Exception.__init__(self, "another process has told why.")
