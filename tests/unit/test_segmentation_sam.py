"""Segment-anything through its own classes: where prompts land, and what comes back."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from pictures import truncate
from tiny_sam import FRAME_PX, MASK_PX, save_checkpoint, tiny_sam, tiny_sam_weights

from pipeline import weights
from pipeline.errors import WeightsError
from pipeline.fetching.sources import LocalPath
from pipeline.geometry import Box
from pipeline.segmentation import sam
from pipeline.segmentation.masks import intersection_over_union

SHAPES = [(48, 64), (64, 48), (32, 32), (600, 2000)]
"""Landscape, portrait, square, and longer than the network's frame."""


def square(height: int, width: int) -> torch.Tensor:
    """A prior whose middle half, each way, is inside."""
    prior = torch.zeros(height, width)
    prior[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    return prior


@pytest.mark.parametrize(("height", "width"), [*SHAPES, (4, 5)])
def test_masks_have_the_photographs_size(height: int, width: int) -> None:
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))
    prior = square(height, width)
    first, other = sam.ask_all(tiny_sam(), image, [prior, 1 - prior])
    (again,) = sam.ask_all(tiny_sam(), image, [prior])
    for answer in (first, other):
        assert answer.probability.shape == (height, width)
        assert answer.probability.dtype == torch.float32
        assert 0 <= answer.probability.min() <= answer.probability.max() <= 1
        assert 0 <= answer.quality <= 1
        assert 0 <= answer.agreement <= 1
    assert torch.equal(first.probability, again.probability)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_prompts_land_in_the_networks_frame(height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    made = tiny_sam()
    forward = made.prompt_encoder.forward

    def record(**prompts: Any) -> Any:
        asked.append(prompts)
        return forward(**prompts)

    monkeypatch.setattr(made.prompt_encoder, "forward", record)
    prior = square(height, width)
    sam.ask_all(made, torch.rand(3, height, width), [prior])
    (prompts,) = asked
    scale = FRAME_PX / max(height, width)
    box = torch.tensor([width // 4, height // 4, 3 * width // 4, 3 * height // 4]) * scale
    # The package rounds the image's shorter side to whole pixels of its frame.
    assert torch.allclose(prompts["boxes"][0].float(), box.float(), atol=0.6)
    coordinates, labels = (values[0] for values in prompts["points"])
    assert set(labels.tolist()) == {0, 1}
    for (x, y), label in zip(coordinates.tolist(), labels.tolist(), strict=True):
        row, column = round(y / scale), round(x / scale)
        assert 0 <= row < height
        assert 0 <= column < width
        assert prior[row, column] == label
    mask = prompts["masks"]
    assert mask.shape == (1, 1, MASK_PX, MASK_PX)
    inner = (round(height * MASK_PX / max(height, width)), round(width * MASK_PX / max(height, width)))
    assert mask[0, 0, inner[0] // 2, inner[1] // 2] == 6
    assert (mask[0, 0, inner[0] :] == -6).all()
    assert (mask[0, 0, :, inner[1] :] == -6).all()


def test_a_mask_prompt_is_logits_in_the_corner_of_its_frame() -> None:
    prior = torch.tensor([[0.5, 0.9], [0.0, 1.0], [0.1, 0.5], [0.5, 0.5]])
    logits = sam.mask_prompt(prior, (4, 4))
    nine = float(np.log(9))
    expected = torch.tensor(
        [[0, nine, -6, -6], [-6, 6, -6, -6], [-nine, 0, -6, -6], [0, 0, -6, -6]], dtype=torch.float32
    )
    assert torch.allclose(logits, expected, atol=1e-5)


def test_the_mask_with_the_best_quality_times_agreement_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    import segment_anything

    prior = torch.zeros(8, 8)
    prior[2:6, 2:6] = 1
    exact = np.where(prior.numpy() > 0.5, 9.0, -9.0).astype(np.float32)
    everything = np.full((8, 8), 9.0, dtype=np.float32)
    asked: dict[str, Any] = {}

    class Predictor:
        def __init__(self, model: Any) -> None:
            self.model = model

        def set_image(self, image: Any, image_format: str) -> None:
            asked["image"], asked["format"] = image, image_format

        def predict(self, **prompts: Any) -> tuple[Any, Any, None]:
            asked.update(prompts)
            return np.stack([everything, exact, -exact]), np.array([0.95, 0.9, 0.99]), None

    monkeypatch.setattr(segment_anything, "SamPredictor", Predictor)
    (answer,) = sam.ask_all(tiny_sam(), torch.full((3, 8, 8), 0.5), [prior])
    assert answer.agreement == 1.0
    assert answer.quality == pytest.approx(0.9)
    assert (asked["image"].shape, asked["image"].dtype, asked["format"]) == ((8, 8, 3), np.uint8, "RGB")
    assert asked["image"][0, 0, 0] == 128
    assert asked["box"].tolist() == [2, 2, 6, 6]
    assert asked["point_coords"].shape[1] == 2


def test_points_inside_are_deep_and_points_outside_are_near() -> None:
    prior = torch.zeros(60, 80)
    prior[10:50, 20:40] = 1
    prior[40:50, 40:70] = 1
    prior[0:10, 60:80] = 0.3  # not surely background
    prompts = sam.prompts_of(prior)
    assert prompts.box == Box(10, 20, 50, 70)
    assert prompts.inside.tolist() == [True, True, True, False, False]
    for (row, column), inside in zip(prompts.points.astype(int), prompts.inside, strict=True):
        assert prior[row, column] == (1 if inside else 0)
        assert 5 <= row < 55
        assert 15 <= column < 75
    with pytest.raises(ValueError, match="the prior is empty"):
        sam.prompts_of(torch.zeros(4, 4))


def test_a_mask_that_fills_the_picture_has_points_too() -> None:
    prompts = sam.prompts_of(torch.ones(300, 200))
    assert prompts.box == Box(0, 0, 300, 200)
    assert prompts.inside.all()
    assert len(prompts.points) >= 1


def test_a_checkpoint_of_another_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import segment_anything

    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", tiny_sam)
    assert sam.build(tiny_sam_weights()).training is False
    whole = tiny_sam_weights()
    missing = dict(list(whole.tensors.items())[1:])
    foreign = {**whole.tensors, "mask_decoder.iou_token.weight": np.zeros((2, 16), np.float32)}
    for tensors in (missing, foreign, {}):
        with pytest.raises(
            WeightsError, match="sam_vit_b: expected the tensors of Sam; found Error"
        ) as error:
            sam.build(type(whole)("sam_vit_b", tensors, whole.preprocessing, "", {}))
        assert "\n" not in str(error.value)


def user_file(folder: Path, kind: str) -> Path:
    """A checkpoint as a user hands it in, whole or not."""
    path = save_checkpoint(folder / "mine.pth", tiny_sam)
    if kind == "truncated":
        truncate(path)
    elif kind == "pickled":
        torch.save({"model": Path("/")}, path)
    elif kind == "text":
        path.write_text("no checkpoint at all")
    elif kind == "page":
        path.write_text("<!DOCTYPE html><html>Not found</html>")
    return path


@pytest.mark.parametrize("kind", ["truncated", "pickled", "text", "page"])
@pytest.mark.parametrize("name", ["sam_vit_b", "sam_vit_l", "sam_vit_h", "sam_vit_t"])
def test_a_file_that_is_no_checkpoint_is_one_line(tmp_path: Path, name: str, kind: str) -> None:
    path = user_file(tmp_path, kind)
    with pytest.raises(WeightsError) as error:
        weights.fetch(name, tmp_path / "cache", LocalPath(path))
    assert f"{path}: expected a readable model file; found a file that is not a PyTorch" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "cache" / f"{name}.safetensors").exists()


@pytest.mark.parametrize("taken_for", ["vit_l", "vit_h", "vit_b"])
def test_a_checkpoint_of_another_type_is_one_line(tmp_path: Path, taken_for: str) -> None:
    # The names of tensors are those of every type; their number or shapes are not.
    path = weights.fetch(f"sam_{taken_for}", tmp_path, LocalPath(user_file(tmp_path, "whole")))
    loaded = weights.load(path)
    with pytest.raises(WeightsError) as error, torch.device("meta"):
        sam.build(loaded)
    assert str(error.value).startswith(
        f"sam_{taken_for}: expected the tensors of Sam; found Error(s) in load"
    )
    assert str(error.value).endswith("Give the checkpoint of this very network.")
    assert "\n" not in str(error.value)


def test_mobile_sam_comes_from_its_own_package(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("mobile_sam")
    package.sam_model_registry = {"vit_t": tiny_sam}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mobile_sam", package)
    made = sam.build(tiny_sam_weights("sam_vit_t"))
    prior = square(48, 64)
    (answer,) = sam.ask_all(made, torch.full((3, 48, 64), 0.5), [prior])
    (same,) = sam.ask_all(tiny_sam(), torch.full((3, 48, 64), 0.5), [prior])
    assert torch.equal(answer.probability, same.probability)


def test_mobile_sam_without_its_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mobile_sam", None)
    with pytest.raises(WeightsError) as error:
        sam.build(tiny_sam_weights("sam_vit_t"))
    assert str(error.value) == (
        "sam_vit_t: expected the Python package mobile_sam, which knows its network; found import of "
        "mobile_sam halted; None in sys.modules. Install it, or choose another network for masks.sam."
    )


def test_intersection_over_union() -> None:
    a = torch.tensor([[True, True, False, False]])
    b = torch.tensor([[False, True, True, False]])
    assert intersection_over_union(a, b) == pytest.approx(1 / 3)
    assert intersection_over_union(a & b & ~a, a & ~a) == 0
