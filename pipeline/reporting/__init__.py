"""One self-contained HTML page over all the artworks of a collection."""

from pipeline.reporting.model import (
    Artwork,
    AutomaticMask,
    Collection,
    Cover,
    Credit,
    LevelResult,
    MaskPicture,
    Mixture,
    Picture,
    StylePicture,
)
from pipeline.reporting.page import write_report

__all__ = [
    "Artwork",
    "AutomaticMask",
    "Collection",
    "Cover",
    "Credit",
    "LevelResult",
    "MaskPicture",
    "Mixture",
    "Picture",
    "StylePicture",
    "write_report",
]
