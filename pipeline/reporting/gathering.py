"""A collection's page gathered from the folders that its artworks' stages wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline import __version__, canvas, demo, weights
from pipeline.combination import leaves, words
from pipeline.config.controls import Style
from pipeline.config.masks import AUTOMATIC_MASKS
from pipeline.errors import InputError
from pipeline.plan import LevelPlan, Plan, RegionPlan, read_plan
from pipeline.rendering.record import RenderingRecord, read_record
from pipeline.reporting.model import (
    Artwork,
    Collection,
    Credit,
    LevelResult,
    MaskPicture,
    Mixture,
    Picture,
    StylePicture,
)

_LICENCE_URLS = {
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "BSD-3-Clause": "https://opensource.org/license/bsd-3-clause",
    "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC0": "https://creativecommons.org/publicdomain/zero/1.0/",
}


def gather(folders: Sequence[Path], title: str, created: str) -> Collection:
    """The collection whose artworks lie in these folders, in their order.

    Args:
        folders: `results/{artwork}` of each.
        title: The page's heading.
        created: The time of making, as it is to be read.

    Raises:
        InputError: Something that a stage should have written is missing or is something else.
    """
    plans = [read_plan(folder / "plan.json") for folder in folders]
    artworks = [_artwork(folder, plan) for folder, plan in zip(folders, plans, strict=True)]
    return Collection(title, artworks, credits_of(plans), created, __version__)


def _artwork(folder: Path, plan: Plan) -> Artwork:
    records = [read_record(_record_file(folder, plan, level)) for level in plan.levels]
    pictures = folder / "pictures"
    top = plan.levels[-1]
    content = plan.settings.content.name
    warnings = [*plan.warnings, *(warning for record in records for warning in record.warnings)]
    return Artwork(
        name=plan.artwork,
        width_px=top.width,
        height_px=top.height,
        dpi=plan.settings.print.dpi,
        content=Picture(pictures / "content.png", f"The photograph {content}"),
        result=Picture(pictures / "result.png", f"{plan.artwork}: {content} rendered"),
        styles=[style for index in range(len(top.regions)) for style in _styles(pictures, plan, index)],
        masks=_masks(pictures, plan) if plan.settings.needs_guidance else [],
        levels=[_level(pictures, level, record) for level, record in zip(plan.levels, records, strict=True)],
        settings=plan.settings.model_dump(mode="json"),
        provenance=_read_json(folder / "provenance.json"),
        warnings=list(dict.fromkeys(warnings)),
    )


def _record_file(folder: Path, plan: Plan, level: LevelPlan) -> Path:
    name = "stylised" if level is plan.levels[0] else "refined"
    return folder / "levels" / str(level.level_px) / f"{name}.json"


def _styles(pictures: Path, plan: Plan, index: int) -> Iterable[StylePicture]:
    region = plan.levels[-1].regions[index]
    total = sum(target.weight for target in region.targets)
    for style, target in zip(plan.settings.regions[index].styles, region.targets, strict=True):
        key = plan.targets[target.target].image
        mixture = _mixture(pictures, plan, style, key)
        alt = f"The style image {style.image.name}"
        if style.fine is not None:
            alt += f" with the fine structure of {style.fine.name}"
        yield StylePicture(_style_picture(pictures, key, alt), region.label, target.weight / total, mixture)


def _mixture(pictures: Path, plan: Plan, style: Style, key: str) -> Mixture | None:
    if style.fine is None:
        return None
    coarse, fine = plan.mixed_from(key)
    return Mixture(
        _style_picture(pictures, coarse, f"The coarse image {style.image.name}"),
        _style_picture(pictures, fine, f"The fine image {style.fine.name}"),
        plan.mixes[key].up_to_layer,
    )


def _style_picture(pictures: Path, key: str, alt: str) -> Picture:
    return Picture(pictures / f"style-{key}.png", alt)


def _masks(pictures: Path, plan: Plan) -> list[MaskPicture]:
    found = []
    for region in plan.levels[-1].regions:
        path = pictures / f"mask-{region.label}.png"
        picture = Picture(path, f"The mask of the region {region.label}")
        found.append(MaskPicture(picture, region.label, canvas.band_means(path)[0], _method(plan, region)))
    return found


def _method(plan: Plan, region: RegionPlan) -> str:
    """How a region's mask was made, in words."""
    automatic = {leaf for leaf in leaves(region.where) if leaf in AUTOMATIC_MASKS}
    if not automatic:
        return words(region.where)
    settings = plan.settings.masks
    networks = sorted({"subject" if name == "subject" else settings.method for name in automatic})
    found = f"found by the network {' and '.join(networks)}"
    found += f", sharpened by sam_{settings.sam}" if settings.sam else ""
    return found if isinstance(region.where, str) else f"{words(region.where)}; {found}"


def _level(pictures: Path, level: LevelPlan, record: RenderingRecord) -> LevelResult:
    names = dict.fromkeys(name for point in record.trace for name in point.terms)
    return LevelResult(
        level_px=level.level_px,
        size=level.size,
        picture=Picture(pictures / f"level-{level.level_px}.png", f"The result of level {level.level_px}"),
        iterations=record.level.iterations,
        passes=record.level.passes,
        seconds=record.level.seconds,
        trace=[(point.passes, point.loss) for point in record.trace],
        terms={
            name: [(point.passes, point.terms[name]) for point in record.trace if name in point.terms]
            for name in names
        },
    )


def credits_of(plans: Iterable[Plan]) -> list[Credit]:
    """Whom to thank: the models' authors, and those of the demo's pictures where they are used."""
    names = dict.fromkeys(name for plan in plans for name in plan.weights)
    models = [weights.describe(name) for name in names]
    paths = dict.fromkeys(path for plan in plans for path in plan.sources.values())
    # A picture of the user's may have the name of one of the demo's, in another folder.
    files = [path.name for path in paths if path.parent.name == "demo" and path.name in demo.INPUTS]
    return [
        *(_credit(f"{entry.name} weights", entry.credit, entry.licence) for entry in models),
        *(_credit(file, *demo.INPUTS[file].credit.rsplit("; ", 1)) for file in files),
    ]


def _credit(what: str, who: str, licence: str) -> Credit:
    return Credit(what, who, licence, _LICENCE_URLS.get(licence, ""))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "no JSON"
        raise InputError(path, expected="a provenance record", found=found) from None
    if not isinstance(value, dict):
        raise InputError(path, expected="a provenance record", found=f"a JSON {type(value).__name__}")
    return value
