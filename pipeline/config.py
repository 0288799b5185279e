"""The meaning of config.yaml: frozen, typed, with every unknown key refused. Reading it: config_file.py.

A field's description is its documentation: the JSON schema beside this module is generated from it.
Units stand in names (`_px`, `_mib`) or in the value itself (`20 cm`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.layers import ARCHITECTURES, CONTENT_LAYERS, STYLE_LAYERS, Architecture

SMALLEST_LEVEL_PX = 64
LARGEST_LEVEL_PX = 1_000_000
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
RESERVED_NAMES = ("shared",)
AUTOMATIC_REGIONS = ("person", "background")
_MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "in": 25.4}

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def length_mm(text: str) -> float:
    """Millimetres in a length with its unit, such as `60 cm`, `8.5 in` or `300 mm`.

    Raises:
        ValueError: The text is no such length.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(mm|cm|in)\s*", text)
    if match is None or float(match[1]) == 0:
        raise ValueError(f"must be a length with its unit (mm, cm or in), such as '20 cm'; found {text!r}")
    return float(match[1]) * _MM_PER_UNIT[match[2]]


WeightsName = Literal[
    "vgg16",
    "vgg19",
    "person",
    "lraspp_mobilenet_v3_large",
    "deeplabv3_resnet101",
    "sam_vit_b",
    "sam_vit_l",
    "sam_vit_h",
]


class Model(BaseModel):
    """Abstract: a frozen value that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@final
class Style(Model):
    """One style image of a region."""

    image: Path = Field(description="The style image.")
    weight: Positive = Field(1.0, description="Its share among the region's style images.")
    scale: float = Field(
        1.0,
        ge=0.1,
        le=8,
        description="Size of the style against the level: 2 makes its strokes twice as large.",
    )
    mask: Path | None = Field(None, description="Use only the light part of this mask on the style image.")


@final
class Region(Model):
    """A part of the content and the styles that it is painted in."""

    where: str = Field(
        description="`everything`, `person`, `background`, or a mask file (light is inside the region)."
    )
    styles: tuple[Style, ...] = Field(
        min_length=1, description="One or more style images, or `style: IMAGE`."
    )
    weight: Positive = Field(1.0, description="Strength of the style here, against the other regions.")
    name: str | None = Field(
        None, pattern=NAME_PATTERN, description="A name for logs and the report; from `where` by default."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_style(cls, raw: Any) -> Any:
        return _expand_style(raw)

    @property
    def label(self) -> str:
        """The region's name in file names, logs and the report."""
        return self.name or re.sub(r"[^A-Za-z0-9_-]+", "-", Path(self.where).stem)


@final
class Colour(Model):
    """Where the colours of the result come from."""

    mode: Literal["none", "style_to_content", "content_to_style", "luminance"] = Field(
        "none",
        description="`none`: the style's colours. `style_to_content`: recolour the style with the content's "
        "colours first. `content_to_style`: recolour the content with the first style's colours first. "
        "`luminance`: paint in luma only and keep the content's chroma exactly.",
    )
    transform: Literal["pca", "chol", "sym"] = Field(
        "pca", description="Linear map between colour distributions: the paper's `pca`, or `chol`, or `sym`."
    )
    luma_match: Literal["mean", "deviation"] = Field(
        "deviation",
        description="For `luminance`: shift the style's luma to the content's mean, or scale too.",
    )


@final
class Network(Model):
    """The convolutional network whose activations define content and style."""

    name: Literal["vgg16", "vgg19"] = Field(
        "vgg16", description="`vgg16` is fetched; for `vgg19` see `weights`."
    )
    pooling: Literal["max", "average"] = Field("max", description="Pooling between the blocks.")
    style_layers: tuple[str, ...] = Field(STYLE_LAYERS, min_length=1, description="Layers of the style loss.")
    content_layers: tuple[str, ...] = Field(CONTENT_LAYERS, description="Layers of the content loss.")

    @property
    def architecture(self) -> Architecture:
        """The table of this network's layers."""
        return ARCHITECTURES[self.name]

    @property
    def layers(self) -> tuple[str, ...]:
        """Style and content layers together, shallowest first."""
        wanted = {*self.style_layers, *self.content_layers}
        return tuple(name for name in self.architecture.names if name in wanted)

    @model_validator(mode="after")
    def _layers_exist(self) -> Network:
        for field in ("style_layers", "content_layers"):
            names: tuple[str, ...] = getattr(self, field)
            for name in names:
                if name not in self.architecture.names:
                    known = ", ".join(self.architecture.names)
                    raise ValueError(f"must name {field} that {self.name} has ({known}); found {name!r}")
            if len(set(names)) != len(names):
                raise ValueError(f"must name each of {field} once; found {', '.join(names)}")
        return self


@final
class Optimiser(Model):
    """How the image is changed to lower the loss."""

    method: Literal["lbfgs", "adam"] = Field(
        "lbfgs", description="`lbfgs` is faster; `adam` is the alternative."
    )
    history: int = Field(5, ge=1, le=100, description="L-BFGS: pairs kept; each costs 12 bytes per pixel.")
    history_precision: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="L-BFGS: how pairs are kept."
    )
    first_step_grey_levels: Positive = Field(
        10.0, description="L-BFGS: the largest change of any pixel in the first step, of 255."
    )
    hessian_scales: int = Field(
        3, ge=0, le=4, description="L-BFGS: scales of the multiscale initial Hessian; 0 is the plain one."
    )
    learning_rate_grey_levels: Positive = Field(3.0, description="Adam: the step size, of 255.")


@final
class Print(Model):
    """The print file."""

    width: str | None = Field(
        None, description="Width on paper with its unit, such as `20 cm`; sets the levels."
    )
    height: str | None = Field(None, description="Height on paper with its unit, instead of `width`.")
    dpi: float = Field(300, ge=1, le=10_000, description="Pixels per inch, written into the file.")
    bits: Literal[8, 16] = Field(8, description="Bits per channel.")
    compression: Literal["deflate", "lzw", "none"] = Field(
        "deflate", description="Lossless TIFF compression."
    )

    @field_validator("width", "height")
    @classmethod
    def _is_length(cls, text: str | None) -> str | None:
        if text is not None:
            length_mm(text)
        return text

    @model_validator(mode="after")
    def _one_side(self) -> Print:
        if self.width is not None and self.height is not None:
            raise ValueError(
                f"must give width or height, the other follows from the content; "
                f"found width {self.width} and height {self.height}"
            )
        return self


@final
class Masks(Model):
    """How `person` and `background` are found."""

    method: Literal["person", "lraspp_mobilenet_v3_large", "deeplabv3_resnet101"] = Field(
        "person", description="`person` is fetched; the others are torchvision's, see `weights`."
    )
    sam: Literal["vit_b", "vit_l", "vit_h"] | None = Field(
        None,
        description="Sharpen the mask with this segment-anything network, its checkpoint under `weights`.",
    )

    @property
    def weights(self) -> tuple[str, ...]:
        """The model files that this needs, by name."""
        return (self.method,) if self.sam is None else (self.method, f"sam_{self.sam}")


class ArtworkSettings(Model):
    """Abstract: everything an artwork can say except its content image."""

    levels: tuple[int, ...] | None = Field(
        None,
        description="Square roots of the areas in pixels, lowest first: 512 means 512 x 512 pixels in the "
        "content's shape. From print.width when that is given; else 512, 1024 as in the paper.",
    )
    iterations: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = Field(
        (200, 60), min_length=1, description="Optimiser iterations per level; the last number repeats."
    )
    regions: tuple[Region, ...] = Field(
        (), description="Parts and their styles, or `style: IMAGE` for all of it."
    )
    content_weight: NonNegative = Field(1.0, description="alpha; 5 to 10 keeps faces readable.")
    style_weight: Positive = Field(1000.0, description="beta; each layer's term is divided by its N squared.")
    colour: Colour = Field(Colour(), description="Colour control.")
    network: Network = Field(Network(), description="The network and its layers.")
    optimiser: Optimiser = Field(Optimiser(), description="The optimiser.")
    masks: Masks = Field(Masks(), description="Automatic masks.")
    start: Literal["content", "noise"] = Field("content", description="What the lowest level starts from.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the noise start.")
    print: Print = Field(Print(), description="The print file.")
    preview_px: int = Field(1024, ge=64, le=8192, description="The longer side of preview.png.")

    @model_validator(mode="before")
    @classmethod
    def _one_style(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping) and "style" in raw and "regions" not in raw:
            rest = {key: value for key, value in raw.items() if key != "style"}
            return {**rest, "regions": [{"where": "everything", "style": raw["style"]}]}
        return raw

    @field_validator("levels")
    @classmethod
    def _levels_increase(cls, levels: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if levels is None:
            return None
        if not levels:
            raise ValueError("must name one level at least; found none")
        for level in levels:
            if not SMALLEST_LEVEL_PX <= level <= LARGEST_LEVEL_PX:
                raise ValueError(
                    f"must lie between {SMALLEST_LEVEL_PX} and {LARGEST_LEVEL_PX}; found {level}"
                )
        for lower, upper in itertools.pairwise(levels):
            if upper <= lower:
                raise ValueError(f"must increase; found {upper} after {lower}")
        return levels

    @model_validator(mode="after")
    def _one_source_of_size(self) -> ArtworkSettings:
        if self.levels is not None and (self.print.width or self.print.height):
            raise ValueError("must give levels or a print size, from which the levels follow; found both")
        return self

    @field_validator("regions")
    @classmethod
    def _regions_fit(cls, regions: tuple[Region, ...]) -> tuple[Region, ...]:
        labels = [region.label for region in regions]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(
                    f"must have different names; found {label!r} twice (give them a `name` each)"
                )
        if len(regions) > 1 and any(region.where == "everything" for region in regions):
            raise ValueError(
                "must not have others beside `everything`; found some (`background` is the rest)"
            )
        return regions


@final
class Defaults(ArtworkSettings):
    """Settings that hold for every artwork that does not say otherwise."""


@final
class Artwork(ArtworkSettings):
    """One content image and what becomes of it."""

    content: Path = Field(description="The photograph.")

    @model_validator(mode="after")
    def _has_a_style(self) -> Artwork:
        if not self.regions:
            raise ValueError("must have `style: IMAGE`, or `regions` with a style each; found neither")
        return self

    @property
    def needs_guidance(self) -> bool:
        """Whether any region is less than everything."""
        return any(region.where != "everything" for region in self.regions)

    def iterations_at(self, index: int) -> int:
        """Iterations of the level of this index; the last number given repeats."""
        return self.iterations[min(index, len(self.iterations) - 1)]


@final
class WeightsSource(Model):
    """Where to take a model file from, instead of the registry's own sources."""

    path: Path | None = Field(None, description="A file on this machine.")
    url: str | None = Field(None, pattern=r"^https?://", description="A file on the web; needs `sha256`.")
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="The file's hash, checked before use."
    )

    @model_validator(mode="after")
    def _one_source(self) -> WeightsSource:
        if (self.path is None) == (self.url is None):
            raise ValueError("must have either path or url; found both or neither")
        if self.url is not None and self.sha256 is None:
            raise ValueError("must have sha256 beside url, so that the file can be checked; found none")
        return self


@final
class Compute(Model):
    """The machine's share of the settings."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="`auto` takes a CUDA device where one is."
    )
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="Of the convolutions; `auto` is bfloat16 where the device computes it natively."
    )
    threads: int = Field(
        2, ge=1, le=1024, description="CPU threads of a job. The result depends on it in the last bits."
    )
    memory_budget_mib: int = Field(
        4096, ge=512, description="What one job may use for its activations and state; sets the tile size."
    )


@final
class Config(Model):
    """The whole of config.yaml."""

    title: str = Field("Impasto", min_length=1, description="Heading of the report.")
    results_dir: Path = Field(Path("results"), description="Where results go.")
    resources_dir: Path = Field(Path("resources"), description="Where fetched weights and demo inputs go.")
    compute: Compute = Field(Compute(), description="Device, precision, threads, memory.")
    weights: dict[WeightsName, WeightsSource] = Field(
        default_factory=dict, description="Model files from a place of your own."
    )
    defaults: Defaults = Field(Defaults(), description="Settings for every artwork.")
    artworks: dict[Annotated[str, Field(pattern=NAME_PATTERN)], Artwork] = Field(
        min_length=1, description="The collection: a name for each artwork, and its settings."
    )

    @field_validator("artworks")
    @classmethod
    def _names_are_free(cls, artworks: dict[str, Artwork]) -> dict[str, Artwork]:
        for name in RESERVED_NAMES:
            if name in artworks:
                raise ValueError(
                    f"must not use the name {name!r}, a folder for what artworks share; found it"
                )
        return artworks


def _expand_style(raw: Any) -> Any:
    """`style: IMAGE` written out as `styles: [{image: IMAGE}]`."""
    if isinstance(raw, Mapping) and "style" in raw and "styles" not in raw:
        rest = {key: value for key, value in raw.items() if key != "style"}
        style = raw["style"]
        return {**rest, "styles": [style if isinstance(style, Mapping) else {"image": style}]}
    return raw
