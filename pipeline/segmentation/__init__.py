"""Finds people, or whatever a photograph is of: one function over several networks.

`segment` wants a photograph as (3, height, width) sRGB in [0, 1], float, on the device to compute on, and
gives a mask of the same height and width in [0, 1]. A mask has the detail of its network, not of its
photograph: about 1024 px a side are enough, and `canvas.write_matte` brings it to full size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.geometry import Box
from pipeline.segmentation import people, person, sam, subject, torchvision_models
from pipeline.segmentation.masks import box_of
from pipeline.weights import Weights

METHODS = ("person", "subject", *torchvision_models.NAMES)
"""Names of the registry that `segment` takes as its model."""

DETECTOR = "person_detector"
"""The name in the registry of the detector that `person` needs."""

LEAST_AGREEMENT = 0.5
"""Segment-anything's mask is not used when it overlaps the prior less than this."""

LEAST_COVERAGE = 0.001
"""A mask that covers less of its image shows nobody."""

_NEARLY_NOTHING = 0.02


@final
@dataclass(frozen=True, slots=True)
class Found:
    """A person in the photograph.

    Attributes:
        box: Around the person's mask.
        score: The detector's, in [0, 1].
    """

    box: Box
    score: float


@final
@dataclass(frozen=True, slots=True)
class Segmentation:
    """A mask and how far it can be trusted.

    Attributes:
        probability: (height, width) float32 in [0, 1]: 1 is the person or subject, 0 is background.
        method: What made it: `person`, `person + sam_vit_b`, ...
        coverage: The mean of `probability`.
        confidence: In [0, 1]. The mean of |2 probability - 1| where anything is probable, times the people's
            mean score, times segment-anything's own estimate of its masks' quality where they were used.
            Of an empty mask: 1 less the best score that was too low.
        people: With `person`, whom the detector found, surest first; else nobody.
        warnings: What a user should know, a sentence each.
        nobody: Why the mask is empty; empty itself when it is not.
    """

    probability: Float[Tensor, "height width"]
    method: str
    coverage: float
    confidence: float
    people: tuple[Found, ...] = ()
    warnings: tuple[str, ...] = ()
    nobody: str = ""


def segment(
    image: Float[Tensor, "3 height width"],
    model: Weights,
    *,
    detector: Weights | None = None,
    sharpener: Weights | None = None,
) -> Segmentation:
    """The mask of the people in a photograph, or of its subject.

    With `person`, nothing is masked that the detector does not take for a person. A photograph without one
    has a mask of zeros, and `nobody` says why.

    Args:
        image: (3, height, width), sRGB in [0, 1], any float dtype; its device computes.
        model: Weights of one of `METHODS`; their name chooses the network.
        detector: The registry's `person_detector`, which `person` needs.
        sharpener: Weights of a segment-anything checkpoint (`sam_vit_b`, ...), asked about each person, or
            the subject. A mask of its that overlaps what was found by less than `LEAST_AGREEMENT` is not
            used, which is a warning.

    Raises:
        WeightsError: The tensors are not those of the network they are named after.
        ValueError: The model's name is not one of `METHODS`, or its detector is missing.
    """
    if model.name not in METHODS:
        raise ValueError(f"expected weights of {', '.join(METHODS)}; found {model.name!r}")
    found, nobody, best_of_nobody = _find(image, model, detector)
    if not found:
        empty = torch.zeros(image.shape[1:], dtype=torch.float32, device=image.device)
        return Segmentation(empty, model.name, 0.0, 1 - best_of_nobody, nobody=nobody)
    masks, quality, warnings = [mask for mask, _ in found], 1.0, list[str]()
    sharpened: list[sam.Answer] = []
    if sharpener is not None:
        answers = sam.ask_all(sam.build(sharpener).to(image.device), image, masks)
        for number, answer in enumerate(answers, 1):
            if answer.agreement >= LEAST_AGREEMENT:
                masks[number - 1] = answer.probability
                sharpened.append(answer)
            else:
                warnings.append(
                    f"{sharpener.name} disagrees with {model.name}: its mask {number} of {len(answers)} "
                    f"overlaps what was found by {answer.agreement:.2f}, less than {LEAST_AGREEMENT}, and is "
                    "not used"
                )
        if sharpened:
            quality = sum(answer.quality for answer in sharpened) / len(sharpened)
    probability = torch.stack(masks).amax(0)
    scores = [score for _, score in found if score is not None]
    probable = probability > _NEARLY_NOTHING
    decided = float((2 * probability[probable] - 1).abs().mean()) if bool(probable.any()) else 0.0
    return Segmentation(
        probability,
        f"{model.name} + {sharpener.name}" if sharpener and sharpened else model.name,
        float(probability.mean()),
        decided * quality * (sum(scores) / len(scores) if scores else 1.0),
        tuple(Found(box_of(mask > 0.5), score) for mask, score in found if score is not None),
        tuple(warnings),
    )


def _find(
    image: Tensor, model: Weights, detector: Weights | None
) -> tuple[Sequence[tuple[Tensor, float | None]], str, float]:
    """A mask for each thing that was found, with its score; when there is none, why, and the best score."""
    if model.name != "person":
        find = (
            subject.subject_probability if model.name == "subject" else torchvision_models.person_probability
        )
        mask = find(image, model)
        coverage = float((mask > 0.5).float().mean())
        if coverage >= LEAST_COVERAGE:
            return [(mask, None)], "", 0.0
        return [], f"the mask of {model.name} covers {coverage:.2%} of the image", float(mask.max())
    if detector is None or detector.name != DETECTOR:
        raise ValueError(f"expected weights of {DETECTOR} beside those of person")
    candidates, best_of_nobody = people.find_people(image, detector)
    if candidates:
        masks = zip(person.masks_of(image, candidates, model), candidates, strict=True)
        found = [(mask, one.score) for mask, one in masks if bool((mask > 0.5).any())]
        nobody = f"the segmenter confirms none of the detector's {len(candidates)}"
    else:
        found = []
        nobody = f"the detector is sure of nobody, its best score being {best_of_nobody:.2f}"
    return found, nobody, best_of_nobody
