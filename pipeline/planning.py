"""Plans from settings: a pure function of the configuration and the image headers, without torch.

The workflow computes it to know its graph, and the plan stage writes the same thing to `plan.json`. Every
mistake that can be known before the work begins is found here, what cannot fit among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pipeline.budget import DoesNotFitError
from pipeline.config.models import SMALLEST_LEVEL_PX, Artwork, Config, LevelSettings
from pipeline.config.sections import length_px
from pipeline.drafting import draft
from pipeline.errors import InputError, PipelineError, UnfitError
from pipeline.inspection import SizeOf
from pipeline.plan import Plan
from pipeline.pyramid import DEFAULT_LEVELS_PX, Level

_MIB_PER_GIB = 1024


def resolve(config: Config, name: str, size_of: SizeOf, where: str = "config.yaml") -> Plan:
    """The plan of artwork `name`.

    Args:
        config: The configuration.
        name: A key of its artworks.
        size_of: Gives an image's (height, width) from its header, or an InputError.
        where: The configuration's name, for errors.

    Raises:
        ConfigError: The configuration asks for what cannot be, whatever the images.
        UnfitError: The sizes cannot be had, or do not fit a budget; the largest that would is named.
        InputError: A file that the artwork names cannot be read.
    """
    try:
        return _within_budgets(config, name, size_of, where)
    except DoesNotFitError as error:
        ending = largest_ending(config, name, size_of)
        ways = [error.otherwise, "" if ending is None else f"end at {ending}, the largest that fits"]
        raise UnfitError(
            f"{where}: compute.{error.key}",
            expected=f"{error.needed} at least for level {error.level.px} ({error.level.size} px) of {name}",
            found=error.found,
            fix=_either("Raise it", *(way for way in ways if way)),
        ) from None
    except OSError as error:
        # Where a file is may not be searched, or its name be longer than any can be.
        found = f"{error.filename}: {(error.strerror or str(error)).lower()}"
        raise InputError(
            f"{where}: artworks.{name}", expected="files that can be looked at", found=found
        ) from None


def largest_ending(
    config: Config, name: str, size_of: SizeOf, fits: Callable[[Plan], bool] = lambda _: True
) -> str | None:
    """The largest top level, or print, that fits the budgets and is smaller than the artwork's own.

    Found by exact search on the plan's own formulas: what is named fits, and one pixel more does not.

    Args:
        config: The configuration.
        name: A key of its artworks.
        size_of: Gives an image's (height, width) from its header.
        fits: What else is asked of the plan.

    Returns:
        How the configuration would say it; None when nothing fits.
    """
    artwork = config.artworks[name]
    most, ended = _endings(artwork)

    def planned(px: int) -> Plan | None:
        smaller = config.model_copy(update={"artworks": {name: ended(px)}})
        try:
            plan = _within_budgets(smaller, name, size_of, "")
        except (DoesNotFitError, PipelineError):
            return None
        return plan if fits(plan) else None

    low, high = most // 2, most
    while low >= SMALLEST_LEVEL_PX and planned(low) is None:
        low, high = low // 2, low
    if low < SMALLEST_LEVEL_PX:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if planned(middle) is None:
            high = middle
        else:
            low = middle
    plan = planned(low)
    assert plan is not None
    top = plan.levels[-1]
    level = f"level {top.level_px} ({top.size} px)"
    sides = _printed_sides(ended(low))
    return ", ".join([*(f"print.{side} {length}" for side, length in sides.items()), level])


def _endings(artwork: Artwork) -> tuple[int, Callable[[int], Artwork]]:
    """The artwork's top level, or a side of its print, in pixels; and the artwork that ends at another."""
    sides = _printed_sides(artwork)
    if sides:
        asked = {side: length_px(length, artwork.print.dpi) for side, length in sides.items()}
        first = next(iter(asked.values()))

        def printed(px: int) -> Artwork:
            smaller = {side: f"{max(1, round(px * own / first))} px" for side, own in asked.items()}
            # Levels that are given too end at the larger print.
            return artwork.model_copy(
                update={"print": artwork.print.model_copy(update=smaller), "levels": None}
            )

        return first, printed
    given = artwork.levels or tuple(LevelSettings(px=px) for px in DEFAULT_LEVELS_PX)

    def levelled(px: int) -> Artwork:
        lower = [level for level in given if level.px < px]
        # What is said of a level holds for the one that stands in its place.
        return artwork.model_copy(
            update={"levels": (*lower, given[len(lower)].model_copy(update={"px": px}))}
        )

    return given[-1].px, levelled


def _printed_sides(artwork: Artwork) -> dict[str, str]:
    """The sides of the print that are given."""
    sides = {"width": artwork.print.width, "height": artwork.print.height}
    return {side: length for side, length in sides.items() if length is not None}


def _within_budgets(config: Config, name: str, size_of: SizeOf, where: str) -> Plan:
    """The plan, as `resolve` gives it.

    Raises:
        DoesNotFitError: It needs more memory or disk than the budgets allow.
    """
    plan = draft(config, name, size_of, where)
    budget_gib, top = config.compute.disk_budget_gib, plan.levels[-1]
    if budget_gib is not None and plan.disk_mib > budget_gib * _MIB_PER_GIB:
        needed_gib = math.ceil(10 * plan.disk_mib / _MIB_PER_GIB) / 10
        raise DoesNotFitError(
            "disk_budget_gib", f"{needed_gib:.1f}", f"{budget_gib:g}", Level(top.level_px, top.size)
        )
    return plan


def _either(*ways: str) -> str:
    *first, last = ways
    return last if not first else f"{', '.join(first)}{',' if len(first) > 1 else ''} or {last}"
