"""The meaning of config.yaml: artworks, their defaults, the machine's share. Reading it: reading.py."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, final

from pydantic import BeforeValidator, Field, field_validator, model_validator

from pipeline.combination import Expression
from pipeline.config.controls import AutomaticRegions, Colour, Guidance, Iterations, Mixing, Region, as_list
from pipeline.config.networks import Feedforward, RegionName, TrainedNetwork
from pipeline.config.presets import PresetName
from pipeline.config.printing import DeepZoom, Print
from pipeline.config.quality import Quality
from pipeline.config.sections import (
    NAME_PATTERN,
    FilePath,
    Masks,
    Network,
    NonNegative,
    Optimiser,
    Positive,
    Section,
    check_layers,
)
from pipeline.config.viewing import Preview, Report

SMALLEST_LEVEL_PX = 64
LARGEST_LEVEL_PX = 1_000_000
LONGEST_NAME = 200
"""An artwork's name is a folder's, for which file systems allow 255 bytes."""
RESERVED_NAMES = (
    *("shared", "logs", "benchmarks", "report", "on_demand"),
    *("combine", "crop", "crop_mask", "deliver", "fetch_weights", "make_demo", "mix", "partition", "prepare"),
    *("recolour", "segment", "targets", "train", "export_network"),
)
"""Folders that are no artwork's: of the results, and beside the artworks' own logs those of shared jobs."""

_Value = TypeVar("_Value")

WeightsName = Literal[
    "vgg16",
    "vgg19",
    "vgg19_oxford",
    "person",
    "person_detector",
    "subject",
    "lraspp_mobilenet_v3_large",
    "deeplabv3_resnet101",
    "sam_vit_b",
    "sam_vit_l",
    "sam_vit_h",
    "sam_vit_t",
]


def _unless_auto(value: Any) -> Any:
    """Nothing for the word `auto`: what is not given is chosen."""
    return None if value == "auto" else value


@final
class LevelSettings(Section):
    """One level of the pyramid, and what it does otherwise than the artwork says."""

    px: int = Field(
        ge=SMALLEST_LEVEL_PX,
        le=LARGEST_LEVEL_PX,
        description="Square root of the area in pixels: 512 means 512 x 512 pixels in the content's shape.",
    )
    iterations: Iterations | None = Field(None, description="Optimiser iterations at this level.")
    content_weight: NonNegative | None = Field(None, description="alpha at this level.")
    style_weight: Positive | None = Field(None, description="beta at this level.")
    tv_weight: NonNegative | None = Field(None, description="Of total variation at this level.")
    style_layers: tuple[str, ...] | None = Field(
        None, min_length=1, description="Layers of the style loss at this level."
    )
    content_layers: tuple[str, ...] | None = Field(
        None, description="Layers of the content loss at this level."
    )

    @model_validator(mode="before")
    @classmethod
    def _size_alone(cls, raw: Any) -> Any:
        """`512` written out as `px: 512`."""
        return {"px": raw} if isinstance(raw, int | float | str) else raw


class ArtworkSettings(Section):
    """Abstract: everything an artwork can say except its content image."""

    preset: Annotated[tuple[PresetName, ...], BeforeValidator(as_list)] = Field(
        (),
        description="Settings of the paper by name, or several, later ones above earlier; what the artwork "
        "says itself stands above them. What they hold: pipeline/config/presets.yaml.",
    )
    levels: Annotated[tuple[LevelSettings, ...] | None, BeforeValidator(_unless_auto)] = Field(
        None,
        min_length=1,
        description="Sizes of the pyramid, lowest first, as square roots of areas: 512 means 512 x 512 "
        "pixels in the content's shape. Or `auto`: from print.width or print.height, halved until the "
        "network sees whole shapes; 512, 1024 as in the paper where no print size is given. Beside a print "
        "size, the last level must be the print's.",
    )
    iterations: Annotated[tuple[Iterations, ...], BeforeValidator(as_list)] = Field(
        (200, 60), min_length=1, description="Optimiser iterations per level; the last number repeats."
    )
    regions: tuple[Region, ...] = Field(
        (),
        description="Parts and their styles, or `style: IMAGE` for all of it, or `{automatic: N, styles: "
        "[IMAGE, ...]}` for parts that are found.",
    )
    content_weight: NonNegative = Field(1.0, description="alpha; 5 to 10 keeps faces readable.")
    style_weight: Positive = Field(1000.0, description="beta; each layer's term is divided by its N squared.")
    tv_weight: NonNegative = Field(
        0.0,
        description="Of total variation, the mean squared difference of neighbouring pixels on the scale 0 "
        "to 255: above 0 smooths.",
    )
    guidance: Guidance = Field(Guidance(), description="Spatial control: how regions guide the style.")
    colour: Colour = Field(Colour(), description="Colour control.")
    mixing: Mixing = Field(Mixing(), description="Scale control, for styles that have `fine`.")
    network: Network = Field(Network(), description="The network and its layers.")
    optimiser: Optimiser = Field(Optimiser(), description="The optimiser.")
    masks: Masks = Field(Masks(), description="Automatic masks.")
    method: Literal["optimise", "feedforward"] = Field(
        "optimise",
        description="`optimise` changes the image step by step, level after level. `feedforward` has a "
        "trained network paint the highest level in one pass, and knows no lower ones.",
    )
    feedforward: Feedforward = Field(Feedforward(), description="Which trained network paints, and how.")
    start: Literal["content", "noise", "feedforward"] = Field(
        "content",
        description="What the lowest level starts from; `feedforward` is what a trained network makes of it.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the noise start.")
    detail: Literal["content", "none"] = Field(
        "content",
        description="What higher levels start from: with content, the content and, enlarged, what the level "
        "below made of it; with none, as in the paper, the enlarged result of the level below.",
    )
    devices: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Devices that may share a level of this artwork; compute.devices otherwise.",
    )
    print: Print = Field(Print(), description="The print file: its size, resolution and format.")
    deepzoom: DeepZoom = Field(DeepZoom(), description="The deep-zoom image, or its `format` alone.")
    quality: Quality = Field(Quality(), description="What is asked of the result's measured quality.")
    preview_px: int = Field(1024, ge=64, le=8192, description="The longer side of preview.png.")
    on_demand: bool = Field(
        False, description="Leave it out of a plain `snakemake`; asking for its files makes them."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_style(cls, raw: Any) -> Any:
        """`style: IMAGE` written out as a region that is everything."""
        if not isinstance(raw, Mapping) or raw.get("style") is None:
            return raw
        if raw.get("regions") is not None:
            raise ValueError("must have `style` or `regions`; found both")
        rest = {key: value for key, value in raw.items() if key != "style"}
        return {**rest, "regions": [{"where": "everything", "style": raw["style"]}]}

    @field_validator("regions", mode="before")
    @classmethod
    def _automatic_regions(cls, raw: Any) -> Any:
        """`{automatic: N, styles: [...]}` written out as N regions."""
        is_automatic = isinstance(raw, Mapping) and "automatic" in raw
        return AutomaticRegions.model_validate(raw).regions if is_automatic else raw

    @field_validator("levels")
    @classmethod
    def _levels_increase(cls, levels: tuple[LevelSettings, ...] | None) -> tuple[LevelSettings, ...] | None:
        for lower, upper in itertools.pairwise(levels or ()):
            if upper.px <= lower.px:
                raise ValueError(f"must increase; found {upper.px} after {lower.px}")
        return levels

    @model_validator(mode="after")
    def _layers_exist(self) -> ArtworkSettings:
        check_layers(self.network, self.mixing.up_to_layer, "mixing.up_to_layer")
        for level in self.levels or ():
            check_layers(self.network, level.style_layers or (), f"style_layers of level {level.px}")
            check_layers(self.network, level.content_layers or (), f"content_layers of level {level.px}")
        return self

    @property
    def paints(self) -> bool:
        """Whether a trained network takes part."""
        return "feedforward" in (self.method, self.start)

    @field_validator("regions")
    @classmethod
    def _regions_fit(cls, regions: tuple[Region, ...]) -> tuple[Region, ...]:
        others = [region.label for region in regions if region.where != "everything"]
        if len(regions) > 1 and len(others) < len(regions):
            found, fix = "it more than once", "one region can have several `styles`"
            if others:
                found, fix = f"{others[0]!r} beside it", "`background` is what `person` leaves"
            raise ValueError(f"must have `everything` alone; found {found} ({fix})")
        for first, second in _same_but_for_case([region.label for region in regions]):
            raise ValueError(
                f"must have different names; found {first!r} and {second!r} (give them a `name` each)"
            )
        return regions

    @property
    def needs_guidance(self) -> bool:
        """Whether any region is less than everything."""
        return any(region.where != "everything" for region in self.regions)

    @property
    def mask_expressions(self) -> tuple[Expression, ...]:
        """Where regions are, and what parts of style images count."""
        styles = (style for region in self.regions for style in region.styles)
        masks = (style.mask for style in styles if style.mask is not None)
        return (*(region.where for region in self.regions), *masks)

    @property
    def guidance_channels(self) -> int:
        """One for each region; none when one style covers everything."""
        return len(self.regions) if self.needs_guidance else 0


@final
class Defaults(ArtworkSettings):
    """Settings that hold for every artwork that does not say otherwise."""


@final
class Artwork(ArtworkSettings):
    """One content image and what becomes of it."""

    content: FilePath = Field(description="The photograph.")

    @model_validator(mode="after")
    def _has_a_style(self) -> Artwork:
        if not self.regions:
            raise ValueError("must have `style: IMAGE`, or `regions` with a style each; found neither")
        return self

    def at_level(self, index: int, px: int) -> LevelSettings:
        """What holds at the level of this index and size, every value given."""
        own = self.levels[index].model_dump(exclude_none=True) if self.levels is not None else {}
        values: dict[str, Any] = {
            "iterations": last_repeats(self.iterations, index),
            "content_weight": self.content_weight,
            "style_weight": self.style_weight,
            "tv_weight": self.tv_weight,
            "style_layers": self.network.style_layers,
            "content_layers": self.network.content_layers,
        }
        return LevelSettings(**values | own | {"px": px})


def last_repeats(values: Sequence[_Value], index: int) -> _Value:
    """The value of this index; beyond the end, the last."""
    return values[min(index, len(values) - 1)]


@final
class WeightsSource(Section):
    """Where to take a model file from, instead of the registry's own sources."""

    path: FilePath | None = Field(None, description="A file on this machine.")
    url: str | None = Field(None, pattern=r"^https?://", description="A file on the web; needs `sha256`.")
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="The file's hash, checked before use."
    )

    @model_validator(mode="after")
    def _one_source(self) -> WeightsSource:
        if (self.path is None) == (self.url is None):
            found = "neither" if self.path is None else "both"
            raise ValueError(f"must have either path or url; found {found}")
        if self.url is not None and self.sha256 is None:
            raise ValueError("must have sha256 beside url, so that the file can be checked; found none")
        return self


@final
class Compute(Section):
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
    devices: int = Field(
        1,
        ge=1,
        le=1024,
        description="How many devices of one machine may share a level, each a strip of it: GPUs, or "
        "processes of `threads` each on a CPU. Levels too small to gain from it take fewer.",
    )
    memory_budget_mib: int = Field(
        4096,
        ge=512,
        description="What one job may use for its activations and state, on each of its devices; sets the "
        "tile size. The process itself counts 700 of it.",
    )
    host_budget_mib: int = Field(
        0,
        ge=0,
        description="What the optimiser's vectors of a level may use of the main memory of a machine with a "
        "GPU, beside that, before they go to files: about 110 bytes for each pixel.",
    )
    disk_budget_gib: float | None = Field(
        None,
        gt=0,
        description="What the files of one artwork may take at once; what would take more is refused. By "
        "default there is no limit.",
    )

    def for_pixels(self) -> Compute:
        """What pixels depend on: not budgets and devices, which reach them only through a plan's levels."""
        return Compute(device=self.device, precision=self.precision, threads=self.threads)


@final
class Config(Section):
    """The whole of config.yaml."""

    title: str = Field("Impasto", min_length=1, description="Heading of the report.")
    results_dir: FilePath = Field(Path("results"), description="Where results go.")
    resources_dir: FilePath = Field(
        Path("resources"), description="Where fetched weights and demo inputs go."
    )
    deliver_to: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9]*://[^\s{}?#]*[^\s{}?#/]$",
        description="Where prints, panels, deep-zoom tiles, previews, figures, proofs, records and the "
        "report are copied when they are finished, of all artworks but those with `on_demand: true`: an "
        "address that one of Snakemake's storage plugins knows, such as `s3://bucket/folder`.",
    )
    compute: Compute = Field(Compute(), description="Device, precision, threads, memory.")
    report: Report = Field(Report(), description="The report over the collection.")
    preview: Preview = Field(Preview(), description="Pictures of what is being rendered.")
    weights: dict[WeightsName, WeightsSource] = Field(
        default_factory=dict, description="Model files from a place of your own."
    )
    defaults: Defaults = Field(Defaults(), description="Settings for every artwork.")
    networks: dict[RegionName, TrainedNetwork] = Field(
        default_factory=dict, description="Transformation networks, for `method: feedforward`, by name."
    )
    artworks: dict[Annotated[str, Field(pattern=NAME_PATTERN)], Artwork] = Field(
        min_length=1, description="The collection: a name for each artwork, and its settings."
    )

    @field_validator("artworks")
    @classmethod
    def _names_are_free(cls, artworks: dict[str, Artwork]) -> dict[str, Artwork]:
        for name in artworks:
            if name.lower() in RESERVED_NAMES:
                raise ValueError(
                    f"must not use the name {name!r}, which a folder beside the artworks' own has; found it"
                )
            if len(name) > LONGEST_NAME:
                raise ValueError(
                    f"must have names of at most {LONGEST_NAME} characters; found {len(name)} in {name}"
                )
        for first, second in _same_but_for_case(artworks):
            raise ValueError(
                f"must have names that differ in more than case, as some machines' folders must; "
                f"found {first!r} and {second!r}"
            )
        return artworks

    @model_validator(mode="after")
    def _folders_differ(self) -> Config:
        if self.results_dir == self.resources_dir:
            raise ValueError(
                f"must have a resources_dir of its own; found results_dir '{self.results_dir}' again"
            )
        return self


def _same_but_for_case(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of names that one file name could stand for on a file system without case."""
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            yield seen[name.lower()], name
        seen[name.lower()] = name
