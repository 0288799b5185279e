"""The sections that an artwork's settings are made of: frozen, typed, with every unknown key refused.

A field's description is its documentation: schema.json beside this module is generated from it.
Units stand in names (`_px`, `_mib`) or in the value itself (`20 cm`). The whole of config.yaml: models.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, final, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from pipeline.layers import CONTENT_LAYERS, DEEPEST_LAYER, STYLE_LAYERS, VGG16, VGG19, Architecture
from pipeline.lengths import LENGTH_PATTERN, in_px

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"


def length_px(text: str, dpi: float) -> int:
    """Pixels in a length with its unit, such as `60 cm`, `8.5 in`, `300 mm` or `8000 px`, to nearest.

    Raises:
        ValueError: The text is no such length.
    """
    return max(1, round(in_px(text, dpi)))


def _checked_length(value: Any) -> Any:
    if isinstance(value, str | int | float):
        length_px(str(value), dpi=1)
    return value


def checked_path(path: Path) -> Path:
    """The path, when the workflow can hand it on.

    Raises:
        ValueError: It is empty, begins with a hyphen, or holds braces, a line's end or a NUL character.
    """
    if path == Path():
        raise ValueError("must be the path of a file or folder; found an empty one")
    text = str(path)
    if "\n" in text or "\0" in text:
        raise ValueError(f"must be a path without line ends and NUL characters; found {text!r}")
    if text.startswith("-"):
        raise ValueError(
            f"must be a path without a hyphen before it, which commands read as an option; found '{path}'"
        )
    if "{" in text or "}" in text:
        raise ValueError(
            f"must be a path without braces, which the workflow reads as wildcards; found '{path}'"
        )
    return path


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FilePath = Annotated[Path, AfterValidator(checked_path)]
Length = Annotated[
    str, BeforeValidator(_checked_length), Field(json_schema_extra={"pattern": f"^{LENGTH_PATTERN}$"})
]
NetworkName = Literal["vgg16", "vgg19", "vgg19_oxford"]
NETWORKS: Mapping[str, Architecture] = dict(zip(get_args(NetworkName), (VGG16, VGG19, VGG19), strict=True))
"""The architecture behind each network's name; two trainings of one architecture are two networks."""
NETWORKS_WITH_MEANS = ("vgg16",)
"""The networks whose channel means come with the package."""


class Model(BaseModel):
    """Abstract: a frozen value that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Section(Model):
    """Abstract: a part of config.yaml. A key without a value counts as not written."""

    @model_validator(mode="before")
    @classmethod
    def _drop_empty_keys(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        for key, value in raw.items():
            field = cls.model_fields.get(str(key))
            # A number in Python, so it would pass for 1 or 0.
            if isinstance(value, bool) and field is not None and field.annotation is not bool:
                word = str(value).lower()
                raise ValueError(
                    f"must not have {key}: {word}; found it (to YAML, yes, no, on and off are true and false)"
                )
        return {key: value for key, value in raw.items() if value is not None}


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
    normalised: bool = Field(
        False,
        description="Rescale the network so that every channel's mean activation over photographs is 1. Then "
        "every style layer weighs the same: a fifth of 1e6 times `style_weight` for five layers.",
    )
    channel_means: FilePath | None = Field(
        None,
        description="For `normalised`: the file that `impasto calibrate` made. The means of `vgg16` come "
        "with the package.",
    )
    style_layers: tuple[str, ...] = Field(STYLE_LAYERS, min_length=1, description="Layers of the style loss.")
    content_layers: tuple[str, ...] = Field(CONTENT_LAYERS, description="Layers of the content loss.")
    layer_weights: dict[str, NonNegative] = Field(
        default_factory=dict,
        description="A factor for each layer's term, by the layer's name; 1 where nothing is said.",
    )

    @property
    def architecture(self) -> Architecture:
        """The table of this network's layers."""
        return NETWORKS[self.name]

    @property
    def layers(self) -> tuple[str, ...]:
        """Style and content layers together, shallowest first."""
        wanted = {*self.style_layers, *self.content_layers}
        return tuple(name for name in self.architecture.names if name in wanted)

    @property
    def usable_layers(self) -> tuple[str, ...]:
        """The layers that the model file of this network reaches, shallowest first."""
        return _usable(self.architecture)

    @model_validator(mode="after")
    def _layers_exist(self) -> Network:
        for field in ("style_layers", "content_layers", "layer_weights"):
            names = tuple(getattr(self, field))
            check_layers(self, names, field)
            if len(set(names)) != len(names):
                raise ValueError(f"must name each of {field} once; found {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _means_are_known(self) -> Network:
        if self.channel_means is not None and not self.normalised:
            raise ValueError("must have `normalised: true` beside channel_means; found it missing")
        if self.normalised and self.channel_means is None and self.name not in NETWORKS_WITH_MEANS:
            raise ValueError(
                f"must have channel_means for a normalised {self.name}: the file that `impasto calibrate` "
                "makes from photographs; found none"
            )
        return self


@cache
def _usable(architecture: Architecture) -> tuple[str, ...]:
    return tuple(layer.name for layer in architecture.up_to([DEEPEST_LAYER]))


def check_layers(network: Network, names: Iterable[str], field: str) -> None:
    """Raises a ValueError for the first name that is no layer of the network's model file."""
    for name in names:
        if name not in network.usable_layers:
            known = ", ".join(network.usable_layers)
            raise ValueError(
                f"must name {field} that the file of {network.name} has ({known}); found {name!r}"
            )


@final
class Optimiser(Section):
    """How the image is changed to lower the loss."""

    method: Literal["lbfgs", "adam"] = Field(
        "lbfgs", description="`lbfgs` is faster; `adam` is the alternative."
    )
    history: int = Field(
        5,
        ge=1,
        le=100,
        description="L-BFGS: pairs kept; each costs 12 bytes per pixel, in float32 24.",
    )
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
    check_last_step: bool = Field(
        True,
        description="Evaluate the loss once more after a level's last step; L-BFGS then shortens the step if "
        "the loss has not fallen enough. `false` saves that pass, one of three at a huge level that takes "
        "one step, and the loss of the result is not known.",
    )


@final
class Masks(Section):
    """How `person` and `background` are found."""

    method: Literal["person", "subject", "lraspp_mobilenet_v3_large", "deeplabv3_resnet101"] = Field(
        "person",
        description="`person` finds people, and nothing that is no person. `subject` finds what the "
        "photograph is of, whatever it is: `person` and `background` are then the subject and the rest. Both "
        "are fetched; the others are torchvision's networks for people, see `weights`.",
    )
    sam: Literal["vit_b", "vit_l", "vit_h", "vit_t"] | None = Field(
        None,
        description="Sharpen masks with this segment-anything network, and find segments by it; its "
        "checkpoint must stand under `weights`. `vit_t` is MobileSAM's, which needs the Python "
        "package mobile_sam.",
    )
    on_nobody: Literal["background", "error"] = Field(
        "background",
        description="When nobody is found: all of the photograph is background, with a warning, or that is "
        "an error.",
    )

    @property
    def weights(self) -> tuple[str, ...]:
        """The model files that this needs, by name."""
        detector = ("person_detector",) if self.method == "person" else ()
        sharpener = () if self.sam is None else (f"sam_{self.sam}",)
        return (self.method, *detector, *sharpener)
