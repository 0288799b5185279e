"""Where the people are, by torchvision's networks, for those who have their weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.segmentation.modules import fill
from pipeline.weights import Weights

NAMES = ("lraspp_mobilenet_v3_large", "deeplabv3_resnet101")

_CLASSES = 21  # Pascal VOC's twenty and the background
_PERSON = 15
_SHORTER_SIDE_PX = 520


@torch.no_grad()
def person_probability(
    image: Float[Tensor, "3 height width"], weights: Weights
) -> Float[Tensor, "height width"]:
    """The probability in [0, 1] that a pixel belongs to a person, at the image's size.

    As torchvision's own recipe: the shorter side resampled to 520 px, ImageNet's mean and deviation, softmax
    over Pascal VOC's classes.

    Args:
        image: sRGB in [0, 1].
        weights: One of `NAMES`, whose name chooses the network.

    Raises:
        WeightsError: The tensors are not this network's.
    """
    from torchvision.models import segmentation  # noqa: PLC0415 - 1.5 s that other methods do not need

    options = {"weights": None, "weights_backbone": None, "num_classes": _CLASSES}
    if weights.name == "deeplabv3_resnet101":
        options["aux_loss"] = any(name.startswith("aux_classifier") for name in weights.tensors)
    network = getattr(segmentation, weights.name)(**options)
    fill(network, weights)
    network.to(image.device)
    height, width = image.shape[1:]
    scale = _SHORTER_SIDE_PX / min(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = functional.interpolate(
        image[None].float(), size, mode="bilinear", antialias=True, align_corners=False
    )
    mean = small.new_tensor(weights.preprocessing.mean)[:, None, None]
    deviation = small.new_tensor(weights.preprocessing.deviation)[:, None, None]
    classes = network((small - mean) / deviation)["out"].softmax(1)[:, _PERSON : _PERSON + 1]
    whole = functional.interpolate(classes, (height, width), mode="bilinear", align_corners=False)
    return whole[0, 0].clamp(0, 1)
