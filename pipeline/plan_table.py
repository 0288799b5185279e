"""A plan as a table for the terminal: what each level and mixture is, how it is cut, and what it takes.

No line is wider than 100 characters, whatever the numbers; names of files may make one so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from pipeline.budget import computed_share, tile_grid
from pipeline.config.sections import Optimiser
from pipeline.costs import evaluations
from pipeline.geometry import Size
from pipeline.layers import STRIDE_PX
from pipeline.level_plans import BudgetedPlan
from pipeline.plan import Plan

_COLUMNS = {
    "level": 7,
    "height x width": 14,
    "MP": 7,
    "tiles": 9,
    "core+halo": 9,
    "more": 5,
    "device": 8,
    "host": 8,
    "files": 8,
    "evals": 6,
}
LEGEND = """\
MP: megapixels. more: halos, computed beside a tile's own pixels. device: activations, and vectors
in its memory; host: the process itself, and vectors in main memory, which on a CPU is the device's
as well. files: vectors and saved states, deleted at the level's end. evals: evaluations of the loss
and its gradient; those of the loss alone count a half."""
"""What the table's headings mean."""
_UNITS = ("MiB", "GiB", "TiB", "PiB")


def table(plan: Plan, seconds: Mapping[str, float] | None = None) -> str:
    """The plan of an artwork, to be read.

    Args:
        plan: The plan.
        seconds: An estimate for each of `rows`, by its name; None leaves the column out.
    """
    rows = named_rows(plan)
    lines = [f"{plan.artwork}: {plan.source_of(plan.content)}"]
    lines.append(_line(tuple(_COLUMNS), None if seconds is None else "time"))
    for name, row in rows.items():
        lines.append(
            _line(
                _cells(name, row, plan.settings.optimiser),
                None if seconds is None else duration(seconds[name]),
            )
        )
    lines.extend(
        f"  {region.label}: {_styles(plan, index)}" for index, region in enumerate(plan.levels[-1].regions)
    )
    lines.extend(f"  {line}" for line in _printed(plan))
    lines.extend(_shared(rows))
    kept, most = data_size(plan.kept_mib), data_size(plan.disk_mib)
    lines.append(f"  disk: at most {most} at once, of which {kept} stay")
    if seconds is not None:
        lines.append(f"  time: {duration(sum(seconds.values()))} for levels and mixtures together")
    return "\n".join(lines)


def named_rows(plan: Plan) -> dict[str, BudgetedPlan]:
    """Everything that is optimised, in the order in which it can be: each level after its mixtures.

    Levels have their own names; mixtures are `mix` and a number, the smallest first.
    """
    rows: dict[str, BudgetedPlan] = {
        f"mix {number}": plan.mixes[key] for number, key in enumerate(_mix_keys(plan), start=1)
    }
    return rows | {str(level.level_px): level for level in plan.levels}


def sum_line(plans: Sequence[Plan], asked: int, seconds: Sequence[Mapping[str, float]]) -> str:
    """What a collection comes to, in a line.

    Args:
        plans: Of the artworks that can be made.
        asked: How many artworks there are.
        seconds: For each plan an estimate for each of its rows, in their order; none leaves the time out.
    """
    parts = [
        f"{_megapixels(sum(plan.levels[-1].size.area for plan in plans))} MP in top levels",
        # What artworks share counts for each of them.
        f"at most {data_size(sum(plan.kept_mib for plan in plans))} stay",
    ]
    if seconds:
        # A mixture is made once for all artworks that use it.
        once = {
            key: each
            for plan, estimates in zip(plans, seconds, strict=True)
            for key, each in zip(_row_keys(plan), estimates.values(), strict=True)
        }
        parts.append(f"{duration(sum(once.values()))} to render")
    return f"{len(plans)} of {asked} artworks can be made: {'; '.join(parts)}"


def _mix_keys(plan: Plan) -> list[str]:
    return sorted(plan.mixes, key=lambda key: (plan.mixes[key].size.area, key))


def _row_keys(plan: Plan) -> list[str]:
    """Of all rows, in their order: equal for what artworks share."""
    return [*_mix_keys(plan), *(f"{plan.artwork}/{level.level_px}" for level in plan.levels)]


def _megapixels(area: int) -> str:
    megapixels = area / 1e6
    return f"{megapixels:.2f}" if megapixels < 9.995 else f"{megapixels:.0f}"


def duration(seconds: float) -> str:
    """`8 s`, `41 min`, `3.4 h`, `12 days`, `2 years`: as much as an estimate can know."""
    for unit, length, until in (("s", 1, 90), ("min", 60, 90 * 60), ("h", 3600, 48 * 3600)):
        if seconds < until:
            count = seconds / length
            return f"{count:.1f} {unit}" if count < 9.95 and unit == "h" else f"{max(1, round(count))} {unit}"
    days = seconds / 86400
    return f"{days:.0f} days" if days < 730 else f"{days / 365:.0f} years"


def data_size(mib: float) -> str:
    """`819 MiB`, `3.3 GiB`, `153 TiB`."""
    unit = max(0, min(len(_UNITS) - 1, math.floor(math.log(max(1.0, mib), 1024))))
    count = mib / 1024**unit
    return f"{count:.1f} {_UNITS[unit]}" if unit and count < 99.95 else f"{count:.0f} {_UNITS[unit]}"


def _printed(plan: Plan) -> Iterator[str]:
    """What the print is, in pixels and on paper."""
    assert plan.print is not None, "a plan that is no excerpt"
    found, layout = plan.print, plan.print.layout
    sheet = layout.sheet
    trim = sheet.trim.size
    yield (
        f"print: {_mm(found.height_mm)} x {_mm(found.width_mm)} mm (height x width), {trim} px at "
        f"{layout.dpi:g} dpi"
    )
    if sheet.size != trim:
        bleed = f"bleed {_mm(found.bleed_mm)} mm ({sheet.bleed_px} px)" if sheet.bleed_px else "no bleed"
        yield f"file: {sheet.size} px with {bleed}{' and crop marks' if sheet.marks else ''}"
    crop = plan.crops.get(plan.content)
    if crop is not None:
        found_later = isinstance(crop.focus, str)
        focus = "what draws the eye" if found_later else ", ".join(f"{each:g}" for each in crop.focus)
        yield f"content: cropped to {crop.size} px around {focus}"
    if layout.panels:
        last = layout.panels[-1]
        sizes = [panel.sheet.size for panel in layout.panels]
        largest = Size(max(size.height for size in sizes), max(size.width for size in sizes))
        yield (
            f"panels: {last.row} x {last.column} (rows x columns), files of up to {largest} px, "
            f"{_mm(layout.mm(largest.height))} x {_mm(layout.mm(largest.width))} mm"
        )
    yield (
        f"brushwork: structures of up to {_mm(found.largest_structure_mm)} mm; the content has "
        f"{found.content_dpi:.0f} px per inch"
    )


def _mm(length: float) -> str:
    return f"{length:.0f}" if length >= 99.95 else f"{length:.1f}"


def _cells(name: str, row: BudgetedPlan, optimiser: Optimiser) -> tuple[str, ...]:
    padded = row.size.aligned_up(STRIDE_PX)
    rows, columns = tile_grid(padded, row.tile_core_px, row.halo_px)
    computed = computed_share(padded, row.network, row.tile_core_px, row.halo_px)
    whole = row.tile_core_px is None
    return (
        name,
        str(row.size),
        _megapixels(row.size.area),
        "whole" if whole else f"{rows}x{columns}",
        "" if whole else f"{row.tile_core_px}+{row.halo_px}",
        "" if whole else f"{computed - 1:.0%}",
        data_size(row.device_mib),
        data_size(row.memory_mib // row.processes - row.device_mib),
        data_size(row.disk_mib),
        str(math.ceil(evaluations(optimiser, row.iterations))),
    )


def _shared(rows: Mapping[str, BudgetedPlan]) -> Iterator[str]:
    """Which rows are shared by how many devices, if any are: a line for each number."""
    counts = sorted({row.processes for row in rows.values()} - {1})
    for count in counts:
        names = ", ".join(name for name, row in rows.items() if row.processes == count)
        yield f"  {count} devices share {names}: each has a strip, and the memory that stands there"


def _line(cells: tuple[str, ...], last: str | None) -> str:
    texts = [f"{cell:>{width}}" for cell, width in zip(cells, _COLUMNS.values(), strict=True)]
    return " ".join(texts if last is None else [*texts, f"{last:>8}"])


def _styles(plan: Plan, region: int) -> str:
    styles = plan.settings.regions[region].styles
    total = sum(style.weight for style in styles)
    return ", ".join(f"{style.image} ({style.weight / total:.0%})" for style in styles)
