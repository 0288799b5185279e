"""How far an image is from a style: the yardstick that results are judged by, independent of what made them.

Written from the formulas with torch's own functions. Nothing here is shared with the network, the statistics,
the guidance or the losses of the engine, so that a mistake there cannot hide here; please keep it so.

    G_l = sum T^2 F F^T / sum T^2         over the positions of layer l, T the mask's average over each unit
    d_l = |G_l - G_l(style)|^2 / |G_l(style)|^2       (Frobenius norms)
    d   = mean of d_l over relu1_1, relu2_1, relu3_1, relu4_1, relu5_1

0 is the style's own texture at every scale, and 1 is as far as an image without any features.

An image is padded at the bottom and right to multiples of 16 by reflection, as the engine pads it, and is run
by crops: each yields the positions of its core and reads a margin around it that is wide enough to make
them what they are in the whole image, so memory is bounded whatever the image's size.
"""

from pipeline.evaluation.crops import Picture
from pipeline.evaluation.measures import (
    Gram,
    StyleDistance,
    crop_count,
    distance,
    gram_matrices,
    similarities,
    style_distance,
)
from pipeline.evaluation.network import STRIDE_PX, STYLE_LAYERS

__all__ = [
    "STRIDE_PX",
    "STYLE_LAYERS",
    "Gram",
    "Picture",
    "StyleDistance",
    "crop_count",
    "distance",
    "gram_matrices",
    "similarities",
    "style_distance",
]
