"""The fixed masks of training: where the regions are in every crop.

Trained with one, the network learns to look at its channels, and follows any mask later.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.feedforward.training_settings import TrainingMask


def training_mask(kind: TrainingMask, regions: int, side_px: int) -> Float[Tensor, "regions side side"]:
    """Regions of equal areas that cover a square once: 1 inside, 0 outside.

    `top-bottom`: bands from the top; `left-right`: bands from the left; `circle`: a disc in the middle, rings
    around it, and the corners.
    """
    places = torch.arange(side_px, dtype=torch.float64) - (side_px - 1) / 2
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    order = {"top-bottom": rows, "left-right": columns, "circle": rows.square() + columns.square()}[kind]
    ranks = torch.empty(side_px**2, dtype=torch.long)
    ranks[order.flatten().argsort(stable=True)] = torch.arange(side_px**2)
    region = (ranks * regions // side_px**2).view(side_px, side_px)
    return torch.stack([(region == index).float() for index in range(regions)])
