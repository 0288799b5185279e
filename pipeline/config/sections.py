"""The sections that an artwork's settings are made of: frozen, typed, with every unknown key refused.

A field's description is its documentation: schema.json beside this module is generated from it.
Units stand in names (`_px`, `_mib`) or in the value itself (`20 cm`). The whole of config.yaml: models.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, final, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from pipeline.layers import CONTENT_LAYERS, DEEPEST_LAYER, STYLE_LAYERS, VGG16, VGG19, Architecture

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
AUTOMATIC_REGIONS = ("person", "background")
_LENGTH_PATTERN = r"\s*([0-9]+(?:\.[0-9]+)?)\s*(mm|cm|in)\s*"
_MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "in": 25.4}


def length_mm(text: str) -> float:
    """Millimetres in a length with its unit, such as `60 cm`, `8.5 in` or `300 mm`.

    Raises:
        ValueError: The text is no such length.
    """
    match = re.fullmatch(_LENGTH_PATTERN, text)
    if match is None or float(match[1]) == 0:
        raise ValueError(f"must be a length with its unit (mm, cm or in), such as '20 cm'; found {text!r}")
    return float(match[1]) * _MM_PER_UNIT[match[2]]


def _checked_length(value: Any) -> Any:
    if isinstance(value, str | int | float):
        length_mm(str(value))
    return value


def checked_path(path: Path) -> Path:
    """The path, when the workflow can hand it on.

    Raises:
        ValueError: It is empty, or holds braces or a line's end.
    """
    if path == Path():
        raise ValueError("must be the path of a file or folder; found an empty one")
    if any(character in "{}\n" for character in str(path)):
        raise ValueError(
            f"must be a path without braces, which the workflow reads as wildcards; found '{path}'"
        )
    return path


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FilePath = Annotated[Path, AfterValidator(checked_path)]
Length = Annotated[
    str, BeforeValidator(_checked_length), Field(json_schema_extra={"pattern": f"^{_LENGTH_PATTERN}$"})
]
NetworkName = Literal["vgg16", "vgg19", "vgg19_oxford"]
NETWORKS: Mapping[str, Architecture] = dict(zip(get_args(NetworkName), (VGG16, VGG19, VGG19), strict=True))
"""The architecture behind each network's name; two trainings of one architecture are two networks."""


class Model(BaseModel):
    """Abstract: a frozen value that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Section(Model):
    """Abstract: a part of config.yaml. A key without a value counts as not written."""

    @model_validator(mode="before")
    @classmethod
    def _drop_empty_keys(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping):
            return {key: value for key, value in raw.items() if value is not None}
        return raw


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
    mask: FilePath | None = Field(
        None, description="Use only the light part of this mask on the style image."
    )


@final
class Region(Section):
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

    @field_validator("where")
    @classmethod
    def _is_somewhere(cls, where: str) -> str:
        if where != "everything" and where not in AUTOMATIC_REGIONS:
            if not Path(where).suffix:
                raise ValueError(
                    f"must be everything, {', '.join(AUTOMATIC_REGIONS)}, or the path of a mask image; "
                    f"found {where!r}"
                )
            checked_path(Path(where))
        return where

    @property
    def mask_file(self) -> Path | None:
        """The mask that the user gave, or None where the region is found without one."""
        return None if self.where in ("everything", *AUTOMATIC_REGIONS) else Path(self.where)

    @property
    def label(self) -> str:
        """The region's name in file names, logs and the report."""
        return self.name or re.sub(r"[^A-Za-z0-9_-]+", "-", Path(self.where).stem)


@final
class Colour(Section):
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
class Network(Section):
    """The convolutional network whose activations define content and style."""

    name: NetworkName = Field(
        "vgg16",
        description="`vgg16` is the Oxford network and is fetched. `vgg19_oxford`, the paper's own, must be "
        "given under `weights`. `vgg19` is torchvision's training, whose activations ask for another "
        "`style_weight`.",
    )
    pooling: Literal["max", "average"] = Field("max", description="Pooling between the blocks.")
    style_layers: tuple[str, ...] = Field(STYLE_LAYERS, min_length=1, description="Layers of the style loss.")
    content_layers: tuple[str, ...] = Field(CONTENT_LAYERS, description="Layers of the content loss.")

    @property
    def architecture(self) -> Architecture:
        """The table of this network's layers."""
        return NETWORKS[self.name]

    @property
    def layers(self) -> tuple[str, ...]:
        """Style and content layers together, shallowest first."""
        wanted = {*self.style_layers, *self.content_layers}
        return tuple(name for name in self.architecture.names if name in wanted)

    @model_validator(mode="after")
    def _layers_exist(self) -> Network:
        known = [layer.name for layer in self.architecture.up_to([DEEPEST_LAYER])]
        for field in ("style_layers", "content_layers"):
            names: tuple[str, ...] = getattr(self, field)
            for name in names:
                if name not in known:
                    raise ValueError(
                        f"must name {field} that the file of {self.name} has ({', '.join(known)}); "
                        f"found {name!r}"
                    )
            if len(set(names)) != len(names):
                raise ValueError(f"must name each of {field} once; found {', '.join(names)}")
        return self


@final
class Optimiser(Section):
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
class Print(Section):
    """The print file."""

    width: Length | None = Field(
        None, description="Width on paper with its unit, such as `20 cm`; sets the levels."
    )
    height: Length | None = Field(None, description="Height on paper with its unit, instead of `width`.")
    dpi: float = Field(300, ge=1, le=10_000, description="Pixels per inch, written into the file.")
    bits: Literal[8, 16] = Field(8, description="Bits per channel.")
    compression: Literal["deflate", "lzw", "none"] = Field(
        "deflate", description="Lossless TIFF compression."
    )

    @model_validator(mode="after")
    def _one_side(self) -> Print:
        if self.width is not None and self.height is not None:
            raise ValueError(
                f"must give width or height, the other follows from the content; "
                f"found width {self.width} and height {self.height}"
            )
        return self


@final
class Masks(Section):
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
