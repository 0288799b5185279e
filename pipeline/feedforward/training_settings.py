"""What a training is told. No torch: mistakes in it are found before torch is loaded."""

from __future__ import annotations

from typing import Literal, final

from pydantic import Field

from pipeline.config.sections import Model
from pipeline.feedforward.architectures import Upsampling

TrainingMask = Literal["top-bottom", "left-right", "circle"]
"""Where the regions are in every crop."""


@final
class TrainingSettings(Model):
    """Everything that a network's weights depend on besides styles, photographs and loss network.

    Attributes:
        architecture: A name of the registry.
        upsampling: How the network doubles sizes.
        colour: `rgb`, or `luminance` to show and judge luma alone.
        mask: Where the regions are in every crop.
        size_px: The side of a crop, a multiple of 16.
        style_px: The square root of a style image's area.
        batch: Crops of an iteration.
        iterations: How many.
        learning_rate: Adam's.
        content_weight: Of the content layer.
        style_weight: Of every style layer, over the square of its channels, shared by the regions.
        tv_weight: Of every squared step between neighbouring values, on the scale 0..255.
        style_layers: Where styles are compared.
        content_layer: Where content is.
        seed: Of the first weights, the order of photographs and their crops.
        validate_every: Iterations from one validation to the next.
        patience: Validations without a new lowest loss before training ends early; 0 never ends it.
    """

    architecture: str = "narrow"
    upsampling: Upsampling = "nearest"
    colour: Literal["rgb", "luminance"] = "rgb"
    mask: TrainingMask = "top-bottom"
    size_px: int = Field(256, ge=32, multiple_of=16)
    style_px: int = Field(256, ge=32)
    batch: int = Field(4, ge=1)
    iterations: int = Field(40_000, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    content_weight: float = Field(1.0, ge=0)
    style_weight: float = Field(5.0, gt=0)
    tv_weight: float = Field(1e-6, ge=0)
    style_layers: tuple[str, ...] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
    content_layer: str = "relu3_3"
    seed: int = Field(0, ge=0)
    validate_every: int = Field(500, ge=1)
    patience: int = Field(0, ge=0)
