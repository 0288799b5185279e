"""Transformation networks: what training one is told, and where artworks find theirs.

Field descriptions are the documentation, as in sections.py.
"""

from __future__ import annotations

from typing import Annotated, Literal, final

from pydantic import BeforeValidator, Field, model_validator

from pipeline.config.controls import as_list
from pipeline.config.sections import NAME_PATTERN, FilePath, NetworkName, NonNegative, Positive, Section
from pipeline.transformations import Upsampling

TrainingMask = Literal["top-bottom", "left-right", "circle", "varied"]
RegionName = Annotated[str, Field(pattern=NAME_PATTERN)]


class TrainingOptions(Section):
    """Abstract: what a user can say of a training, whatever it is trained on."""

    architecture: Literal["narrow", "wide"] = Field(
        "narrow", description="`narrow` is the authors' network, `wide` one of twice the channels."
    )
    upsampling: Upsampling = Field(
        "nearest",
        description="How the network doubles sizes; `transposed`, the authors', may leave a checkerboard.",
    )
    colour: Literal["rgb", "luminance"] = Field(
        "rgb",
        description="`luminance` trains on luma alone: results keep the content's colours.",
    )
    mask: TrainingMask = Field(
        "top-bottom",
        description="Where the regions are in a crop: always the same (`top-bottom` is the authors'), or one "
        "of 32 masks of many shapes and shares, `varied`. Any masks may be used later; with `varied` the "
        "network follows better those whose regions are not of equal areas.",
    )
    size_px: int = Field(256, ge=32, multiple_of=16, description="The side of a crop, a multiple of 16.")
    style_px: int = Field(256, ge=32, description="The square root of a style image's area.")
    batch: int = Field(4, ge=1, description="Crops of an iteration.")
    iterations: int = Field(40_000, ge=1, description="How many.")
    learning_rate: Positive = Field(1e-3, description="Adam's.")
    content_weight: NonNegative = Field(1.0, description="Of the photograph.")
    style_weight: Positive = Field(5.0, description="Of the styles, shared by the regions.")
    balance: Literal["paper", "styles"] = Field(
        "paper",
        description="`styles` weighs each style's term by how large its Gram matrix is against the others', "
        "so that a dark style is learnt as well as a bright one; `paper` lets the bright one decide.",
    )
    tv_weight: NonNegative = Field(
        1e-6, description="Of every squared step between neighbouring values, on the scale 0 to 255."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Of first weights, order, crops and varied masks.")
    validate_every: int = Field(500, ge=1, description="Iterations from one validation to the next.")
    patience: int = Field(
        0,
        ge=0,
        description="End when so many validations in a row find no lower loss, and keep the weights of the "
        "best; 0 does neither.",
    )


@final
class TrainedNetwork(TrainingOptions):
    """A transformation network: one to be trained, or a file."""

    styles: dict[RegionName, FilePath] = Field(
        min_length=1,
        description="The styles that it knows: a name and the style image of each. An artwork's regions "
        "choose among them by the image.",
    )
    photographs: Annotated[tuple[FilePath, ...], BeforeValidator(as_list)] = Field(
        (), description="What it is trained on: photographs, and folders whose photographs are all taken."
    )
    file: FilePath | None = Field(
        None,
        description="Instead of `photographs`: a network that is there already, made by `impasto train` or "
        "`impasto import-network`.",
    )
    network: NetworkName = Field("vgg16", description="The loss network.")
    licence: str = Field(
        "not stated",
        min_length=1,
        description="Of the trained weights, for their model card; what photographs and styles allow is "
        "yours to know.",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> TrainedNetwork:
        if (self.file is None) == (not self.photographs):
            found = "neither" if self.file is None else "both"
            raise ValueError(f"must have photographs to be trained on, or a file; found {found}")
        images = list(self.styles.values())
        for image in images:
            if images.count(image) > 1:
                raise ValueError(f"must have different style images; found {image} twice")
        return self


@final
class Feedforward(Section):
    """Which transformation network paints, and how."""

    network: RegionName | None = Field(None, description="The name of one of `networks`.")
    moments: Literal["exact", "thumbnail"] = Field(
        "exact",
        description="Whether the normalisations' means and variances are the image's own, or a thumbnail's, "
        "which is quicker; how far that is off is measured and told.",
    )
