"""Contents x styles x settings as `combine` in config.yaml has them. Writing them out: collections.py."""

from __future__ import annotations

from typing import Annotated, Any, final

from pydantic import BeforeValidator, Field

from pipeline.config.controls import as_list
from pipeline.config.sections import Section

SHEET, COMBINE = "sheet", "combine"
"""The keys of config.yaml that hold artworks beside `artworks`."""

Images = str | tuple[str, ...] | dict[str, Any]
"""An image, a folder or a pattern; several of these; or images and settings by name."""

_FORMS = "an image, a folder, a pattern such as `photos/*.jpg`, a list of these, or a mapping of names to "


@final
class Combine(Section):
    """An artwork for each combination, named after its parts: CONTENT-STYLE-VARIANT."""

    contents: Images = Field(description=f"The photographs: {_FORMS}images or settings with a `content`.")
    styles: Images = Field(
        (), description=f"The styles: {_FORMS}images or settings. Without any, what `defaults` says."
    )
    settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Variants by name: what each sets stands above the rest."
    )
    exclude: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(
        (), description="Names of combinations that are not wanted."
    )
