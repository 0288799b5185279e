"""Where the people are, by MediaPipe's selfie network run in plain torch."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.segmentation import graph
from pipeline.weights import Weights


def person_probability(
    image: Float[Tensor, "3 height width"], weights: Weights
) -> Float[Tensor, "height width"]:
    """The probability in [0, 1] that a pixel belongs to a person, at the image's size.

    The image is squashed to the network's 256x256: on a photograph extended to 3:2 that finds the same
    person as the square one does with an intersection over union of 0.94, and a letterboxed one of 0.87.
    The network fires on a cat's face as well.

    Args:
        image: sRGB in [0, 1].
        weights: The registry's `person`.
    """
    small = functional.interpolate(
        image[None].float(), graph.input_size(weights), mode="bilinear", antialias=True, align_corners=False
    )
    probability = graph.run(small, weights)
    height, width = image.shape[1:]
    whole = functional.interpolate(probability, (height, width), mode="bilinear", align_corners=False)
    return whole[0, 0].clamp(0, 1)
