"""A page over all the artworks of a collection, and one for each of them."""

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
    Stage,
    StylePicture,
    Tiles,
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
    "Stage",
    "StylePicture",
    "Tiles",
    "write_report",
]
