"""Images larger than memory: reading, preparing, resampling, recolouring and exporting, by regions.

The only package that imports pyvips. Arrays are (height, width, bands). Hand-over files are tiled float32
TIFFs of RGB as encoded in sRGB, nominally [0, 1] but never clipped; photographs in their own colours, masks
and guides are tiled TIFFs of unsigned integers, whole range = [0, 1]. Memory grows with an image's width at
most, never with its area.
"""

from pipeline.canvas.colours import MaskedMap, combine_luminance, histogram, moments, recolour
from pipeline.canvas.combining import combine_masks
from pipeline.canvas.compose import add_alpha, band_means, compose_guides, export_masks
from pipeline.canvas.cropping import crop, crop_mask, find_focus
from pipeline.canvas.deepzoom import DeepZoomFormat, export_deepzoom
from pipeline.canvas.export import check_print, export_preview, export_print, join_pictures
from pipeline.canvas.inputs import (
    MAX_AREA_PX,
    MAX_SIDE_PX,
    MIN_SIDE_PX,
    Header,
    check_sides,
    prepare,
    read_description,
    read_header,
)
from pipeline.canvas.judging import (
    Clipped,
    SeenColours,
    clipped_shares,
    colour_differences,
    read_lab,
    read_mask,
    read_shares,
    read_square_shares,
)
from pipeline.canvas.masks import Mask, is_dark
from pipeline.canvas.matte import write_matte
from pipeline.canvas.parts import write_parts
from pipeline.canvas.pixels import (
    bands_of,
    read,
    size_of,
    write,
    write_boxes,
    write_png,
    write_rows,
)
from pipeline.canvas.profiles import Profile, read_profile
from pipeline.canvas.proof import Proof, write_proof
from pipeline.canvas.shrunk import read_shrunk
from pipeline.canvas.transform import carry_over, resize

__all__ = [
    "MAX_AREA_PX",
    "MAX_SIDE_PX",
    "MIN_SIDE_PX",
    "Clipped",
    "DeepZoomFormat",
    "Header",
    "Mask",
    "MaskedMap",
    "Profile",
    "Proof",
    "SeenColours",
    "add_alpha",
    "band_means",
    "bands_of",
    "carry_over",
    "check_print",
    "check_sides",
    "clipped_shares",
    "colour_differences",
    "combine_luminance",
    "combine_masks",
    "compose_guides",
    "crop",
    "crop_mask",
    "export_deepzoom",
    "export_masks",
    "export_preview",
    "export_print",
    "find_focus",
    "histogram",
    "is_dark",
    "join_pictures",
    "moments",
    "prepare",
    "read",
    "read_description",
    "read_header",
    "read_lab",
    "read_mask",
    "read_profile",
    "read_shares",
    "read_shrunk",
    "read_square_shares",
    "recolour",
    "resize",
    "size_of",
    "write",
    "write_boxes",
    "write_matte",
    "write_parts",
    "write_png",
    "write_proof",
    "write_rows",
]
