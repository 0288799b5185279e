"""People are found, and only people: the real networks, against outlines drawn by hand and known alpha."""

from __future__ import annotations

import pytest
import torch
from photographs import ASTRONAUT, CAMERAMAN, HELMET, SCENES, alpha_of, overlap, read, scene
from real_weights import real_weights
from torch import Tensor

from pipeline import weights
from pipeline.segmentation import Segmentation, segment
from pipeline.segmentation.detection import detect
from pipeline.segmentation.subject import subject_probability


def people_in(image: Tensor) -> Segmentation:
    model, detector = (weights.load(real_weights(name)) for name in ("person", "person_detector"))
    return segment(image, model, detector=detector)


@pytest.mark.parametrize(
    ("name", "smallest", "largest"),
    # A known run of MediaPipe's own graph on these files: 0.81, 0.34, 0.13; its resampling is another.
    [("astronaut.png", 0.77, 0.85), ("chelsea.png", 0.05, 0.4), ("coffee.png", 0.05, 0.2)],
)
def test_scores_are_those_of_the_detectors_own_runtime(name: str, smallest: float, largest: float) -> None:
    found = detect(read(name), weights.load(real_weights("person_detector")), 0.05)
    assert smallest < found[0].score < largest


def test_a_portrait_is_masked_as_a_hand_would() -> None:
    found = people_in(read("astronaut.png"))
    assert overlap(found.probability, alpha_of(ASTRONAUT), alpha_of(HELMET)) > 0.95
    assert len(found.people) == 1
    assert found.people[0].score > 0.75


def test_a_man_seen_from_the_side_is_masked() -> None:
    assert overlap(people_in(read("camera.png")).probability, alpha_of(CAMERAMAN)) > 0.9


@pytest.mark.parametrize("longer_px", [None, 1024])
@pytest.mark.parametrize("name", ["coffee.png", "chelsea.png", "rocket.jpg"])
def test_cups_cats_and_rockets_are_nobody(name: str, longer_px: int | None) -> None:
    found = people_in(read(name, longer_px))
    assert found.coverage < 0.01
    assert found.people == ()
    assert found.nobody


@pytest.mark.parametrize(
    ("name", "people", "least"),
    [
        ("a fifth of it", 1, 0.95),
        ("an eighth of it", 1, 0.9),
        ("cut off by the left border", 1, 0.95),
        ("two people", 2, 0.9),
        ("three people", 3, 0.75),
        ("beside a cat", 1, 0.95),
    ],
)
def test_people_are_found_wherever_and_however_small_they_are(name: str, people: int, least: float) -> None:
    image, truth = scene(*SCENES[name])
    found = people_in(image)
    assert len(found.people) == people
    assert overlap(found.probability, truth) > least


def test_the_subject_of_a_portrait_is_the_person() -> None:
    found = subject_probability(read("astronaut.png"), weights.load(real_weights("subject")))
    assert overlap(found, alpha_of(ASTRONAUT), alpha_of(HELMET)) > 0.92


def test_an_outline_is_rasterised_by_the_share_of_each_pixel() -> None:
    alpha = alpha_of([(1.5, 1), (3, 1), (3, 2.25), (1.5, 2.25)], side_px=4)
    expected = torch.tensor([[0, 0, 0, 0], [0, 0.5, 1, 0], [0, 0.125, 0.25, 0], [0, 0, 0, 0]])
    assert torch.allclose(alpha, expected)
