"""A collection's page gathered from the folders that its artworks' stages wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from pipeline import __version__, canvas, demo, weights
from pipeline.combination import words
from pipeline.config.controls import Style
from pipeline.errors import InputError
from pipeline.feedforward.record import PaintingRecord, read_painting
from pipeline.level_plans import LevelPlan
from pipeline.plan import Plan, PrintPlan, read_plan
from pipeline.rendering.record import RenderingRecord, read_record
from pipeline.reporting.extras import read_gamut, read_proof, read_quality, read_stages, read_tiles
from pipeline.reporting.facts import (
    Found,
    MixtureFacts,
    automatic_masks,
    cover,
    crop,
    mixtures,
    within,
)
from pipeline.reporting.model import (
    Artwork,
    AutomaticMask,
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


def gather(folders: Sequence[Path], title: str, created: str, scratch: Path) -> Collection:
    """The collection whose artworks lie in these folders, in their order.

    Args:
        folders: `results/{artwork}` of each.
        title: The page's heading.
        created: The time of making, as it is to be read.
        scratch: An empty folder for pictures of the page that no stage has made; they are needed until the
            page is written.

    Raises:
        InputError: Something that a stage should have written is missing or is something else.
    """
    plans = [read_plan(folder / "plan.json") for folder in folders]
    artworks = [
        _artwork(folder, plan, scratch / f"uncovered-{index}.png")
        for index, (folder, plan) in enumerate(zip(folders, plans, strict=True), start=1)
    ]
    return Collection(title, artworks, credits_of(plans), created, __version__)


@final
@dataclass(frozen=True, slots=True)
class _Results:
    """An artwork's results.

    Attributes:
        folder: Where they lie.
        plan: Its plan.
        provenance: The record of its print.
        found: Its automatic masks.
        mixtures: What is known of its mixtures of styles.
    """

    folder: Path
    plan: Plan
    provenance: Mapping[str, Any]
    found: Found
    mixtures: Mapping[str, MixtureFacts]

    @classmethod
    def read(cls, folder: Path, plan: Plan) -> _Results:
        path = folder / "provenance.json"
        provenance = _read_json(path)
        found = automatic_masks(plan, provenance, path)
        return cls(folder, plan, provenance, found, mixtures(plan, provenance, path))

    def picture(self, name: str, alt: str, suffix: str = "jpg") -> Picture:
        """One of the pictures that `impasto preview` makes."""
        return Picture(self.folder / "pictures" / f"{name}.{suffix}", alt)


def _artwork(folder: Path, plan: Plan, uncovered: Path) -> Artwork:
    optimised = () if plan.is_painted else plan.levels
    records = [read_record(_record_file(folder, plan, level)) for level in optimised]
    painting = _painting(folder, plan)
    results = _Results.read(folder, plan)
    top = plan.levels[-1]
    content = plan.settings.content.name
    masks = _masks(results) if plan.settings.needs_guidance else []
    covered = cover([mask.picture.path for mask in masks], uncovered) if masks else None
    warnings = [
        *plan.warnings,
        *_mask_warnings(results.found.values()),
        *_mixture_warnings(results.mixtures.values()),
        *(warning for record in records for warning in record.warnings),
        *(() if painting is None else painting.warnings),
    ]
    return Artwork(
        name=plan.artwork,
        width_px=top.width,
        height_px=top.height,
        dpi=plan.settings.print.dpi,
        content=results.picture("content", f"The photograph {content}"),
        result=results.picture("result", f"{plan.artwork}: {content} rendered"),
        styles=[style for index in range(len(top.regions)) for style in _styles(results, index)],
        masks=masks,
        levels=[_painted_level(results, top, painting)]
        if plan.is_painted and painting is not None
        else [_level(results, level, record) for level, record in zip(plan.levels, records, strict=True)],
        settings={plan.artwork: short(plan.settings.model_dump(mode="json", exclude_defaults=True))},
        provenance=results.provenance,
        warnings=list(dict.fromkeys(warnings)),
        cover=covered,
        thumbnail=results.picture("thumbnail", f"{plan.artwork}: {content} rendered"),
        tiles=read_tiles(folder, plan),
        quality=read_quality(folder, plan),
        proof=read_proof(folder, plan),
        gamut=read_gamut(folder, plan),
        stages=read_stages(folder, plan),
        finished_mm=None if plan.print is None else (plan.print.width_mm, plan.print.height_mm),
        crop=crop(plan, results.provenance, folder / "provenance.json"),
        remarks=[] if plan.print is None else list(_remarks(plan.print)),
    )


def _remarks(printed: PrintPlan) -> Iterator[str]:
    if printed.bleed_mm:
        yield f"{printed.bleed_mm:.3g} mm bleed"
    yield f"brushwork up to {printed.largest_structure_mm:.3g} mm"
    yield f"content of {printed.content_dpi:.0f} dpi"


def short(settings: Mapping[str, Any]) -> dict[str, Any]:
    """An artwork's settings as users write them: content first, levels as numbers, one style as one word."""
    found = {"content": settings["content"], **settings}
    if "levels" in found:
        found["levels"] = [level["px"] if len(level) == 1 else level for level in found["levels"]]
    regions = [_short_region(region) for region in found.pop("regions", ())]
    if len(regions) == 1 and set(regions[0]) == {"where", "style"} and regions[0]["where"] == "everything":
        return found | {"style": regions[0]["style"]}
    return found | {"regions": regions}


def _short_region(region: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in region.items() if key != "styles"}
    first, *others = region["styles"]
    if others:
        return dict(region)
    return rest | {"style": first["image"] if len(first) == 1 else first}


def _mask_warnings(found: Iterable[AutomaticMask]) -> Iterator[str]:
    for mask in found:
        yield from (f"mask of {mask.image}: {warning}" for warning in mask.warnings)


def _mixture_warnings(facts: Iterable[MixtureFacts]) -> Iterator[str]:
    for mixture in facts:
        names = " and ".join(Path(image).name for image in mixture.images)
        yield from (f"mixture of {names}: {warning}" for warning in mixture.warnings)


def _record_file(folder: Path, plan: Plan, level: LevelPlan) -> Path:
    name = "stylised" if level is plan.levels[0] else "refined"
    return folder / "levels" / str(level.level_px) / f"{name}.json"


def _painting(folder: Path, plan: Plan) -> PaintingRecord | None:
    """What a trained network painted: the result, or what the lowest level started from."""
    if plan.painting is None:
        return None
    return read_painting(folder / "levels" / str(plan.painting.level_px) / "painted.json")


def _painted_level(results: _Results, level: LevelPlan, painting: PaintingRecord) -> LevelResult:
    return LevelResult(
        level_px=level.level_px,
        size=level.size,
        picture=results.picture(f"level-{level.level_px}", "What the network painted"),
        iterations=0,
        passes=0,
        seconds=painting.application.seconds,
        trace=(),
        tile_px=painting.application.tile_px,
        memory_mib=painting.application.peak_memory_mib,
        painted_by=", ".join(region["style"] for region in painting.model["regions"]),
    )


def _styles(results: _Results, index: int) -> Iterator[StylePicture]:
    plan = results.plan
    region = plan.levels[-1].regions[index]
    if plan.is_painted and plan.painting is not None:
        key, image = plan.painting.styles[index], plan.settings.regions[index].styles[0].image
        picture = results.picture(f"style-{key}", f"The style image {image.name}")
        yield StylePicture(picture, region.label, 1.0, name=image.name)
        return
    total = sum(target.weight for target in region.targets)
    for style, weighted in zip(plan.settings.regions[index].styles, region.targets, strict=True):
        target = plan.targets[weighted.target]
        alt = f"The style image {style.image.name}"
        if style.fine is not None:
            alt += f" with the fine structure of {style.fine.name}"
        yield StylePicture(
            results.picture(f"style-{target.image}", alt),
            region.label,
            weighted.weight / total,
            _mixture(results, style, target.image),
            "" if style.mask is None else words(style.mask),
            within(target.mask, plan, results.found),
            style.image.name if style.fine is None else f"{style.image.name} with {style.fine.name}",
        )


def _mixture(results: _Results, style: Style, key: str) -> Mixture | None:
    if style.fine is None:
        return None
    coarse, fine = results.plan.mixed_from(key)
    facts = results.mixtures[key]
    return Mixture(
        results.picture(f"style-{coarse}", f"The coarse image {style.image.name}"),
        results.picture(f"style-{fine}", f"The fine image {style.fine.name}"),
        results.plan.mixes[key].up_to_layer,
        facts.level.iterations,
        facts.ending,
    )


def _masks(results: _Results) -> list[MaskPicture]:
    plan = results.plan
    found = []
    for region in plan.levels[-1].regions:
        picture = results.picture(f"mask-{region.label}", f"The mask of the region {region.label}", "png")
        (coverage,) = canvas.band_means(picture.path)
        masks = within(plan.areas.get(region.label), plan, results.found)
        found.append(MaskPicture(picture, region.label, coverage, words(region.where), masks))
    return found


def _level(results: _Results, level: LevelPlan, record: RenderingRecord) -> LevelResult:
    names = dict.fromkeys(name for point in record.trace for name in point.terms)
    return LevelResult(
        level_px=level.level_px,
        size=level.size,
        picture=results.picture(f"level-{level.level_px}", f"The result of level {level.level_px}"),
        iterations=record.level.iterations,
        passes=record.level.passes,
        seconds=record.level.seconds,
        tile_px=record.level.tile_px,
        memory_mib=record.level.peak_memory_mib,
        trace=[(point.passes, point.loss) for point in record.trace],
        terms={
            name: [(point.passes, point.terms[name]) for point in record.trace if name in point.terms]
            for name in names
        },
        is_last_step_checked=record.level.loss_last is not None,
    )


def credits_of(plans: Iterable[Plan]) -> list[Credit]:
    """Whom to thank: the models' authors, and those of the demo's pictures where they are used."""
    names = dict.fromkeys(name for plan in plans for name in plan.weights)
    models = [weights.describe(name) for name in names]
    paths = dict.fromkeys(path for plan in plans for path in plan.sources.values())
    files = [path.name for path in paths if demo.is_input(path)]
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
