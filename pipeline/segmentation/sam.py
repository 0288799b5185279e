"""Sharpens masks with segment-anything (Kirillov et al., 2023), for those who have a checkpoint."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from pipeline.errors import WeightsError
from pipeline.geometry import Box, Size
from pipeline.segmentation.masks import box_of, intersection_over_union
from pipeline.segmentation.modules import fill
from pipeline.weights import Weights

POINTS_INSIDE = 3
POINTS_OUTSIDE = 2
_GRID_PX = 128
_OUTSIDE = 0.1
_MARGIN = 0.1
_LARGEST_LOGIT = 6.0


@final
@dataclass(frozen=True, slots=True)
class Prompts:
    """What segment-anything is asked about.

    Attributes:
        box: Around the prior.
        points: (count, 2), rows and columns in pixels.
        inside: Which of the points belong to the object.
    """

    box: Box
    points: npt.NDArray[np.float64]
    inside: npt.NDArray[np.bool_]


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """The best of segment-anything's three masks.

    Attributes:
        probability: (height, width) in [0, 1].
        quality: Its own prediction of the mask's intersection over union, clipped to [0, 1].
        agreement: Intersection over union with the prior, in [0, 1].
    """

    probability: Float[Tensor, "height width"]
    quality: float
    agreement: float


def build(weights: Weights) -> Any:
    """The `Sam` of a checkpoint of the registry (`sam_vit_b`, `sam_vit_l`, `sam_vit_h`, `sam_vit_t`).

    Raises:
        WeightsError: The tensors are not this network's, or the package that knows it is not installed.
    """
    kind = weights.name.removeprefix("sam_")
    # Both import torchvision, which takes 1.5 s.
    package = "mobile_sam" if kind == "vit_t" else "segment_anything"
    try:
        registry = importlib.import_module(package).sam_model_registry
    except ImportError as error:
        raise WeightsError(
            weights.name,
            expected=f"the Python package {package}, which knows its network",
            found=" ".join(str(error).split()),
            fix="Install it, or choose another network for masks.sam",
        ) from error
    sam = registry[kind]()
    fill(sam, weights)
    return sam


def ask_all(
    sam: Any, image: Float[Tensor, "3 height width"], priors: Sequence[Float[Tensor, "height width"]]
) -> list[Answer]:
    """For each prior the mask of what it points at: of three, the one with the best quality x agreement.

    Each is asked for with a box, with points inside and outside, and with the prior itself as a mask. The
    image is encoded once.

    Args:
        sam: A segment-anything `Sam` in evaluation mode, on the device to compute on.
        image: sRGB in [0, 1].
        priors: Masks in [0, 1], each above one half somewhere.
    """
    from segment_anything import SamPredictor  # noqa: PLC0415 - imports torchvision, 1.5 s

    predictor = SamPredictor(sam)
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    predictor.set_image(np.ascontiguousarray(levels.cpu().numpy()), image_format="RGB")
    return [_ask(predictor, prior) for prior in priors]


def _ask(predictor: Any, prior: Tensor) -> Answer:
    prompts = prompts_of(prior)
    box = prompts.box
    logits, qualities, _ = predictor.predict(
        point_coords=prompts.points[:, ::-1].copy(),
        point_labels=prompts.inside.astype(np.int64),
        box=np.array([box.left, box.top, box.right, box.bottom], dtype=np.float64),
        mask_input=mask_prompt(prior, predictor.model.prompt_encoder.mask_input_size).cpu().numpy()[None],
        multimask_output=True,
        return_logits=True,
    )
    answers = []
    for mask, quality in zip(logits, qualities, strict=True):
        probability = torch.sigmoid(torch.from_numpy(mask.astype(np.float32))).to(prior)
        agreement = intersection_over_union(probability > 0.5, prior > 0.5)
        answers.append(Answer(probability, min(1.0, max(0.0, float(quality))), agreement))
    return max(answers, key=lambda answer: answer.quality * answer.agreement)


def prompts_of(prior: Float[Tensor, "height width"]) -> Prompts:
    """The box around the prior, its deepest points, and those of what is surely not it, near the box.

    Raises:
        ValueError: The prior is nowhere above one half.
    """
    mask = prior > 0.5
    if not bool(mask.any()):
        raise ValueError("the prior is empty")
    box = box_of(mask)
    margin = round(_MARGIN * max(box.size.height, box.size.width))
    near = torch.zeros_like(mask)
    near[box.grown(margin, Size(*mask.shape)).slices] = True
    inside = deepest_points(mask, POINTS_INSIDE)
    outside = deepest_points(near & (prior < _OUTSIDE), POINTS_OUTSIDE)
    labels = np.arange(len(inside) + len(outside)) < len(inside)
    points = np.array([*inside, *outside], dtype=np.float64).reshape(-1, 2)
    return Prompts(box, points, labels)


def mask_prompt(
    prior: Float[Tensor, "height width"], frame: tuple[int, int]
) -> Float[Tensor, "mask_height mask_width"]:
    """The prior as segment-anything takes masks: logits, as small as its own, in the corner of its frame.

    The image's longer side becomes the frame's; what the frame has more at the bottom and right is
    background. Logits are limited to +-6, which leaves the network its say.

    Args:
        prior: A mask in [0, 1].
        frame: Height and width of the masks that the network takes, 256 each.
    """
    shrink = frame[0] / max(prior.shape)
    inner = (max(1, round(prior.shape[0] * shrink)), max(1, round(prior.shape[1] * shrink)))
    small = functional.interpolate(
        prior[None, None].float(), inner, mode="bilinear", antialias=True, align_corners=False
    )[0, 0]
    logits = torch.logit(small, eps=1e-6).clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT)
    borders = (0, frame[1] - inner[1], 0, frame[0] - inner[0])
    return functional.pad(logits, borders, value=-_LARGEST_LOGIT)


def deepest_points(mask: Bool[Tensor, "height width"], count: int) -> list[tuple[float, float]]:
    """At most `count` points (row, column) far from the mask's edge and from one another.

    Depth is how many erosions by a 3x3 square a pixel survives, on a grid of at most 128 px a side; the
    outside of the image does not erode. After each point, the square around it of its own depth is closed.
    """
    height, width = mask.shape
    step = max(1, max(height, width) // _GRID_PX)
    alive = mask[step // 2 :: step, step // 2 :: step].float()[None, None]
    depth = torch.zeros_like(alive)
    # A mask without an edge would never erode away: the grid's own side bounds it.
    for _ in range(max(alive.shape)):
        depth += alive
        alive = -functional.max_pool2d(-alive, 3, 1, 1)
        if not alive.any():
            break
    points = []
    for _ in range(count):
        flat = int(depth[0, 0].argmax())
        row, column = divmod(flat, depth.shape[3])
        reach = int(depth[0, 0, row, column])
        if reach < 1:
            break
        points.append((float(row * step + step // 2), float(column * step + step // 2)))
        depth[0, 0, max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = 0
    return points
