"""What processes that torchrun has started have in common: one mistake is told once, and they end alike."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.commands.states import exit_stopped
from pipeline.console import say
from pipeline.errors import PipelineError, ToldError
from pipeline.machine import process_count

if TYPE_CHECKING:
    from pipeline.groups import Group


@contextlib.contextmanager
def company(verb: str) -> Iterator[Group | None]:
    """A block that ends in the same way for all processes that torchrun has started; alone, None.

    What is wrong is told once, by their leader, however many meet it.

    Args:
        verb: The command.

    Raises:
        ToldError: It has been told.
    """
    if process_count(os.environ) == 1:
        yield None
        return
    # torch takes seconds, which help and mistakes need not wait for.
    from pipeline.distributed import joined  # noqa: PLC0415

    with joined() as group:
        try:
            with group.together():
                yield group
        except PipelineError as error:
            if group.leads:
                say(f"impasto {verb}: {error}")
            # The first that ends has torchrun end the others: nobody does before that is said.
            with contextlib.suppress(PipelineError), group.together():
                pass
            raise ToldError from None


def end(finished: bool) -> None:
    """Ends the process with the code of one that was asked to stop, unless its work is finished."""
    if not finished:
        exit_stopped()
