"""What an artwork's measured quality must be."""

from __future__ import annotations

from typing import final

from pydantic import Field

from pipeline.config.sections import NonNegative, Section


@final
class Limits(Section):
    """Limits of the figures in quality.json; an artwork outside one fails, and its print stays."""

    style_distance: NonNegative | None = Field(
        None, description="At most: of any region at the highest level from its style; 0 is the style's own."
    )
    content_similarity: float | None = Field(
        None,
        ge=0,
        le=1,
        description="At least: of its shapes to the content's at the lowest level; 1 is the same.",
    )
    colour_to_content: NonNegative | None = Field(
        None, description="At most: of any region, in CIEDE2000, seen from afar; 2 is just noticed."
    )
    colour_to_style: NonNegative | None = Field(
        None,
        description="At most: of any region's range of colours from its style's, in CIELAB units.",
    )
    seams: NonNegative | None = Field(
        None,
        description="At most: how far the gradient across the borders of tiles is from that beside them, as "
        "a share of it, beyond twice its standard error; 0.02 is strict.",
    )
    clipping: float | None = Field(
        None, ge=0, le=1, description="At most: the share of pixels with a channel at or beyond 0 or 1."
    )


@final
class Quality(Section):
    """What is asked of the result."""

    limits: Limits = Field(Limits(), description="Limits of the figures in quality.json.")
