"""Loss curves as inline SVG: text stays text, colours come from the page, equal input gives equal bytes."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from pipeline.reporting.model import LevelResult
from pipeline.reporting.wording import TIMES, integer, power_of_ten

SERIES = 8
DASHES = ("none", "7 3", "2 2.5", "9 3 2 3", "4 2", "1 3")

_WIDTH_PX, _HEIGHT_PX = 640, 250
# Colours that stand for the page's own: matplotlib knows no CSS variables.
_INK, _RULE = "#010101", "#020202"
_POINTS_PER_INCH = 72


def loss_curve(levels: Sequence[LevelResult], name: str) -> str:
    """The losses of all levels, one after another, as one `<svg>` element; empty when there are none.

    Each level is one line, drawn in the page's colour `--series-1` and so on, in a group with the id
    `{name}-level-1` and so on; a dot marks its last point.

    Args:
        levels: Lowest first.
        name: Prefix of every id in the element, so that several can stand in one page.
    """
    lines = {
        f"level-{index}": (trace, _series(index - 1), "none")
        for index, trace in enumerate(_consecutive(levels, [level.trace for level in levels]), start=1)
    }
    return _draw(lines, _starts(levels), name)


def term_names(levels: Sequence[LevelResult]) -> list[str]:
    """The names of the loss's terms, in the order in which they first appear."""
    return list(dict.fromkeys(term for level in levels for term in level.terms))


@final
@dataclass(frozen=True, slots=True)
class Term:
    """A term of the loss.

    Attributes:
        name: As the loss calls it: `style relu1_1 person`.
        layer: What it measures where in the network: `style relu1_1`, `content relu4_2`.
        region: The region that it measures; empty for the whole image.
    """

    name: str
    layer: str
    region: str


def term(name: str) -> Term:
    """A term by its name: kind, layer and region, as far as it has them."""
    kind, layer, region = [*name.split(" ", 2), "", ""][:3]
    return Term(name, f"{kind} {layer}".rstrip(), region)


def term_curve(levels: Sequence[LevelResult], name: str) -> str:
    """The terms of the loss over all levels, as one `<svg>` element; empty when none were kept.

    Each layer has one colour, each region one pattern of `DASHES`, and each term a line for each level, in a
    group with the id `{name}-term-1-level-1` and so on.
    """
    terms = [term(each) for each in term_names(levels)]
    layers = list(dict.fromkeys(each.layer for each in terms))
    regions = list(dict.fromkeys(each.region for each in terms))
    lines = {}
    for index, each in enumerate(terms, start=1):
        traces = _consecutive(levels, [level.terms.get(each.name, ()) for level in levels])
        dash = DASHES[regions.index(each.region) % len(DASHES)]
        for level, trace in enumerate(traces, start=1):
            lines[f"term-{index}-level-{level}"] = (trace, _series(layers.index(each.layer)), dash)
    return _draw(lines, _starts(levels), name)


def training_curve(
    trace: Sequence[tuple[int, float]], validations: Sequence[tuple[int, float]], name: str
) -> str:
    """The losses of a training's batches and validations as one `<svg>` element; empty without any."""
    lines: dict[str, _Line] = {}
    for index, (label, points) in enumerate((("batches", trace), ("validations", validations))):
        shown = [(float(at), loss) for at, loss in points if math.isfinite(loss) and loss > 0]
        lines[label] = (shown, _series(index), "none")
    end = max((at for at, _ in [*trace, *validations]), default=0)
    return _draw(lines, [0, end], name, "iterations")


_Line = tuple[list[tuple[float, float]], str, str]


def _series(index: int) -> str:
    return f"#0300{index % SERIES + 1:02x}"


def _starts(levels: Sequence[LevelResult]) -> list[int]:
    starts = [0]
    for level in levels:
        last = max((passes for passes, _ in level.trace), default=0)
        starts.append(starts[-1] + max(level.passes, last))
    return starts


def _consecutive(
    levels: Sequence[LevelResult], traces: Sequence[Sequence[tuple[int, float]]]
) -> list[list[tuple[float, float]]]:
    """The traces moved to where their level starts, without what a log axis cannot show."""
    return [
        [(start + passes, loss) for passes, loss in trace if math.isfinite(loss) and loss > 0]
        for start, trace in zip(_starts(levels), traces, strict=False)
    ]


def _draw(lines: Mapping[str, _Line], starts: Sequence[int], name: str, unit: str = "passes") -> str:
    values = [loss for points, _, _ in lines.values() for _, loss in points]
    if not values:
        return ""
    # rcParams are the only way to matplotlib's SVG options; rc_context puts the caller's back.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 10})
        inches = (_WIDTH_PX / _POINTS_PER_INCH, _HEIGHT_PX / _POINTS_PER_INCH)
        figure = Figure(figsize=inches, dpi=_POINTS_PER_INCH)
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0.085, 0.17, 0.9, 0.79))
        _dress(axes, min(values), max(values), starts)
        axes.set_xlabel(unit, color=_INK, labelpad=5)
        for gid, (points, colour, dash) in lines.items():
            if points:
                _line(axes, points, colour, dash, gid)
        stream = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    return _themed(stream.getvalue(), name)


def _dress(axes: Axes, lowest: float, highest: float, starts: Sequence[int]) -> None:
    """Axes, grid and ticks; the range spans a factor of 4 at least, so that a tick falls into it."""
    room = max(1.15, math.sqrt(4 * lowest / highest))
    low, high = lowest / room, highest * room
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    span = max(1, starts[-1])
    axes.set_xlim(-0.01 * span, 1.015 * span)
    decades = math.log10(high / low)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1.0, 2.0, 5.0), numticks=8))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_log_label))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: integer(value)))
    axes.tick_params(length=0, pad=6, labelcolor=_INK)
    axes.grid(axis="y", color=_RULE, linewidth=1)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for start in starts[1:-1]:
        axes.axvline(start, color=_RULE, linewidth=1, dashes=(2, 3))


def _line(axes: Axes, points: Sequence[tuple[float, float]], colour: str, dash: str, gid: str) -> None:
    (line,) = axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.6, gid=gid)
    line.set_marker("o")
    line.set_markersize(4)
    line.set_markevery([len(points) - 1])
    if dash != "none":
        line.set_linestyle((0, [float(length) / 1.6 for length in dash.split()]))


def _log_label(value: float, _: object) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    digit = round(value / 10.0**exponent)
    if -2 <= exponent <= 3:
        return f"{value:.{max(0, -exponent)}f}"
    return power_of_ten(exponent) if digit == 1 else f"{digit} {TIMES} {power_of_ten(exponent)}"


def _themed(svg: str, name: str) -> str:
    """The bare `<svg>` element: the page's colours and font, ids with the prefix, no size of its own."""
    svg = svg[svg.index("<svg") :]
    # That style would reach the whole page.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    bare = r'<svg viewBox="\1" aria-hidden="true">'
    svg = re.sub(r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>", bare, svg, count=1)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    svg = re.sub(r" id=\"", f' id="{name}-', svg)
    svg = re.sub(r"(?:xlink:)?href=\"#", f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = svg.replace(_INK, "currentColor").replace(_RULE, "var(--rule)")
    svg = re.sub(r"#0300(\d\d)", lambda match: f"var(--series-{int(match[1])})", svg)
    return "\n".join(line.strip() for line in svg.splitlines() if line.strip())
