"""The page of a training: its losses, what the network painted on the way, and its model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from markupsafe import Markup

from pipeline import __version__
from pipeline.files import write_text
from pipeline.reporting.curves import training_curve
from pipeline.reporting.model import Picture
from pipeline.reporting.page import asset, environment


@final
@dataclass(frozen=True, slots=True)
class TrainingPage:
    """What the page of a training shows.

    Attributes:
        trace: (iteration, loss) pairs of batches.
        validations: The same of the crops that stay the same.
        pictures: Contents above and what was made of them below, at validations, the first one first.
        iterations: How many were done.
        kept: After how many of them the weights are kept.
        ending: Why it ended.
        seconds: Spent on it.
        card: The network's model card, in JSON's types.
    """

    trace: Sequence[tuple[int, float]]
    validations: Sequence[tuple[int, float]]
    pictures: Sequence[Picture]
    iterations: int
    kept: int
    ending: str
    seconds: float
    card: Mapping[str, Any]


def write_training(training: TrainingPage, title: str, target: Path) -> None:
    """Writes the page to `target`, whole or not at all; equal input gives equal bytes.

    Raises:
        InputError: A picture is missing, or is neither PNG nor JPEG.
    """
    page = environment(target.parent).get_template("training.html")
    curve = Markup(training_curve(training.trace, training.validations, "training"))
    css = Markup(asset("report.css"))
    write_text(target, page.render(training=training, title=title, curve=curve, css=css, version=__version__))
