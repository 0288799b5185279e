"""The controls of the paper: regions and their styles, guidance, colour, scale mixing.

Field descriptions are the documentation, as in sections.py. Formulas: pipeline/guide/README.md and the
docstrings of guidance.py, losses.py, colour.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, final

from pydantic import BeforeValidator, Field, model_validator

from pipeline import combination
from pipeline.config.masks import MOST_PARTS, ContentMask, PartName, StyleMask
from pipeline.config.sections import (
    NAME_PATTERN,
    FilePath,
    NonNegative,
    Positive,
    Section,
)

Iterations = Annotated[int, Field(ge=1, le=100_000)]


def as_list(value: Any) -> Any:
    """A list of one for one value."""
    return [value] if isinstance(value, str | int) and not isinstance(value, bool) else value


@final
class Style(Section):
    """One style image of a region."""

    image: FilePath = Field(description="The style image.")
    weight: Positive = Field(1.0, description="Its share among the region's style images.")
    scale: float = Field(
        1.0,
        ge=0.1,
        le=8,
        description="Size of the style against the level: 2 makes its strokes twice as large.",
    )
    mask: StyleMask | None = Field(
        None,
        description="Use only the light part of this mask on the style image: a mask file, `person`, "
        "`background`, `subject`, or a combination as for a region's `where`, its lengths in px of the "
        "style image.",
    )
    fine: FilePath | None = Field(
        None,
        description="Scale control: lay the fine structure (brushwork) of this image over the style image, "
        "whose large shapes stay, and use the mixture as the style. How: `mixing`.",
    )
    fine_scale: float = Field(
        1.0, ge=0.1, le=8, description="Size of `fine` against the level, as `scale` is for the style image."
    )

    @model_validator(mode="after")
    def _fine_scale_needs_fine(self) -> Style:
        if self.fine is None and "fine_scale" in self.model_fields_set and self.fine_scale != 1:
            raise ValueError("must have `fine` beside fine_scale, an image; found none")
        return self


@final
class Colour(Section):
    """Where the colours of the result come from."""

    mode: Literal["none", "style_to_content", "content_to_style", "luminance"] = Field(
        "none",
        description="`none`: the style's colours. `style_to_content`: recolour the style with the content's "
        "colours first. `content_to_style`: recolour the content with the first style's colours first. "
        "`luminance`: paint in luma only and keep the content's chroma exactly.",
    )
    source: FilePath | None = Field(
        None,
        description="A third image to take the colours from: for the style with `style_to_content`, for the "
        "content with `content_to_style`.",
    )
    transform: Literal["pca", "chol", "sym", "histogram"] = Field(
        "pca",
        description="How colours are matched: the linear maps `pca` (the paper's), `chol` and `sym`, or "
        "`histogram`, channel by channel.",
    )
    luma_match: Literal["mean", "deviation"] = Field(
        "deviation",
        description="For `luminance`: shift the style's luma to the content's mean, or scale too.",
    )
    per_region: bool = Field(
        True,
        description="Where there are regions, take the content's colours from the part that each covers, not "
        "from all of it.",
    )

    @model_validator(mode="after")
    def _source_is_used(self) -> Colour:
        if self.source is not None and self.mode not in ("style_to_content", "content_to_style"):
            raise ValueError(
                "must have mode style_to_content or content_to_style beside source, whose colours they take; "
                f"found {self.mode}"
            )
        return self


def _one_style(raw: Any) -> Any:
    """`style: IMAGE` written out as `styles: [{image: IMAGE}]`."""
    if not isinstance(raw, Mapping) or raw.get("style") is None:
        return raw
    if raw.get("styles") is not None:
        raise ValueError("must have `style` or `styles`; found both")
    rest = {key: value for key, value in raw.items() if key != "style"}
    style = raw["style"]
    if isinstance(style, list):
        raise ValueError("must have one image under `style`, several under `styles`; found a list")
    return {**rest, "styles": [style if isinstance(style, Mapping) else {"image": style}]}


@final
class Region(Section):
    """A part of the content and the styles that it is painted in."""

    where: ContentMask = Field(
        description="`everything`, `person`, `background`, `subject`, a mask file (light is inside the "
        "region), `segment-I-of-N` (see `automatic`), or a combination of them: `not X`, `{not: X}`, "
        "`{union: [X, Y]}`, `{intersection: [X, Y]}`, `{minus: [X, Y]}`, `{grow: LENGTH, of: X}`, "
        "`{shrink: LENGTH, of: X}`, `{feather: LENGTH, of: X}`. Lengths are in px of the content image, or "
        "in mm, cm or in on the print.",
    )
    styles: tuple[Style, ...] = Field(
        min_length=1, description="One or more style images, or `style: IMAGE`."
    )
    weight: Positive = Field(1.0, description="Strength of the style here, against the other regions.")
    content_weight: NonNegative | None = Field(
        None, description="alpha in this region, instead of the artwork's: how much of the photograph stays."
    )
    colour: Colour | None = Field(
        None, description="Colour control of this region, instead of the artwork's."
    )
    name: str | None = Field(
        None, pattern=NAME_PATTERN, description="A name for logs and the report; from `where` by default."
    )

    @model_validator(mode="before")
    @classmethod
    def _style_alone(cls, raw: Any) -> Any:
        return _one_style(raw)

    @property
    def label(self) -> str:
        """The region's name in file names, logs and the report."""
        return self.name or combination.label(self.where)


def _as_styles(value: Any) -> Any:
    """`[IMAGE, ...]` written out as `[{image: IMAGE}, ...]`."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return value
    return [{"image": each} if isinstance(each, str) else each for each in value]


@final
class AutomaticRegions(Section):
    """Regions that segment-anything finds: `regions: {automatic: 4, styles: [a.png, b.png]}`."""

    automatic: int = Field(
        ge=2,
        le=MOST_PARTS,
        description="How many regions there are: the largest segments that `masks.sam` finds and, the last "
        "one, what they leave. They are named `segment-1-of-N`, the largest, to `segment-N-of-N`.",
    )
    styles: Annotated[tuple[Style, ...], BeforeValidator(_as_styles)] = Field(
        min_length=1,
        description="Dealt to the regions in turn, the first one to the largest: images, or mappings as "
        "under `styles` of a region. Or `style: IMAGE` for all.",
    )

    @model_validator(mode="before")
    @classmethod
    def _style_alone(cls, raw: Any) -> Any:
        return _one_style(raw)

    @model_validator(mode="after")
    def _every_style_is_used(self) -> AutomaticRegions:
        if len(self.styles) > self.automatic:
            raise ValueError(
                f"must have at most as many styles as regions; found {len(self.styles)} for {self.automatic}"
            )
        return self

    @property
    def regions(self) -> tuple[Region, ...]:
        """The same written out."""
        return tuple(
            Region(
                where=str(PartName(number, self.automatic)),
                styles=(self.styles[(number - 1) % len(self.styles)],),
            )
            for number in range(1, self.automatic + 1)
        )


@final
class Guidance(Section):
    """How regions guide the style."""

    form: Literal["gram", "means", "stacked"] = Field(
        "gram",
        description="`gram`: a Gram matrix per region. `means`: the mean of each feature map per region, "
        "beside the Gram matrix of the whole image. `stacked`: the Gram matrix of the features with the "
        "guidance channels beside them.",
    )
    normalisation: Literal["mean", "sum"] = Field(
        "mean",
        description="For `means`: `mean` is free of a region's area; `sum`, the authors', grows with it.",
    )
    propagation: Literal["simple", "cubic", "all", "inside"] = Field(
        "simple",
        description="How a mask reaches a layer: averaged (`simple`) or interpolated (`cubic`, the authors') "
        "to its size; or by receptive field: units that see any of the region (`all`), or nothing else "
        "(`inside`).",
    )
    grow_units: int = Field(
        0, ge=-16, le=16, description="Then grow each region by so many units of the layer; below 0 shrinks."
    )
    means_weight: Positive = Field(
        1e8, description="For `means`: the strength of the means, divided by N squared at each layer."
    )
    global_weight: NonNegative | None = Field(
        None,
        description="Share of `style_weight` that the whole image's Gram matrix gets beside the regions: by "
        "default 0 for `gram`, else 1.",
    )

    @property
    def whole_share(self) -> float:
        """What the whole image's Gram matrix weighs against `style_weight`."""
        if self.global_weight is not None:
            return self.global_weight
        return 0.0 if self.form == "gram" else 1.0

    @model_validator(mode="after")
    def _stacked_is_whole(self) -> Guidance:
        if self.form == "stacked" and self.global_weight not in (None, 1):
            raise ValueError(
                "must not have global_weight with form stacked, whose matrix holds the whole image's; "
                f"found {self.global_weight}"
            )
        return self


@final
class Mixing(Section):
    """Scale control: how `fine` is laid over a style image."""

    up_to_layer: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(
        ("relu2_1", "relu4_1"),
        min_length=1,
        description="The deepest layer whose Gram matrix is taken from `fine`, per level; the last repeats. "
        "Deeper layers take larger structure.",
    )
    iterations: Annotated[tuple[Iterations, ...], BeforeValidator(as_list)] = Field(
        (200, 60), min_length=1, description="Optimiser iterations per level; the last repeats."
    )
    colours: Literal["own", "coarse", "fine"] = Field(
        "coarse",
        description="Recolour first: `coarse` gives `fine` the style image's colours, `fine` the other way; "
        "`own` neither, and then the fine image's colours come with its structure.",
    )
