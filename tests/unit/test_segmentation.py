"""The graph runner against literal small cases, mask refinement, SAM's real classes, torchvision's shapes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline import segmentation
from pipeline.errors import WeightsError
from pipeline.geometry import Box
from pipeline.segmentation import graph, sam, torchvision_models
from pipeline.segmentation.modules import fill
from pipeline.segmentation.refinement import box_mean, refine
from pipeline.weights import IMAGENET, SAM, Preprocessing, Weights


def network(
    operations: list[dict[str, Any]], tensors: dict[str, Any], size: int = 4, last: int = 1
) -> Weights:
    described = {"input": 0, "output": last, "height_px": size, "width_px": size, "operations": operations}
    arrays = {name: np.array(values, dtype=np.float32) for name, values in tensors.items()}
    return Weights("person", arrays, Preprocessing(), "", {"graph": json.dumps(described)})


def one(kind: str, x: Tensor, tensors: dict[str, Any] | None = None, **options: Any) -> Tensor:
    operation = {"kind": kind, "inputs": [0], "output": 1, **options}
    if tensors:
        operation["tensors"] = "00"
    return graph.run(x, network([operation], {f"00.{name}": v for name, v in (tensors or {}).items()}))


COUNT = torch.arange(1.0, 17).reshape(1, 1, 4, 4)


# --- the graph runner


def test_same_padding_puts_the_odd_row_at_the_bottom_and_right() -> None:
    # A 3x3 window at stride 2 on 4 pixels: TensorFlow pads 0 before and 1 after, PyTorch's padding=1 would
    # start one pixel earlier.
    ones = {"weight": np.ones((1, 1, 3, 3)), "bias": [0.0]}
    y = one("convolution", COUNT, ones, stride=2, same=True)
    assert y.shape == (1, 1, 2, 2)
    assert y[0, 0, 0, 0] == 1 + 2 + 3 + 5 + 6 + 7 + 9 + 10 + 11
    assert y[0, 0, 0, 1] == 3 + 4 + 7 + 8 + 11 + 12
    assert y[0, 0, 1, 0] == 9 + 10 + 11 + 13 + 14 + 15
    assert y[0, 0, 1, 1] == 11 + 12 + 15 + 16


def test_valid_padding_adds_nothing() -> None:
    y = one("convolution", COUNT, {"weight": np.ones((1, 1, 3, 3)), "bias": [0.5]}, stride=1, same=False)
    assert y.tolist() == [[[[54.5, 63.5], [90.5, 99.5]]]]


def test_a_depthwise_convolution_keeps_channels_apart() -> None:
    x = torch.cat([COUNT, 10 * COUNT], 1)
    y = one(
        "depthwise_convolution",
        x,
        {"weight": [[[[2.0]]], [[[3.0]]]], "bias": [1.0, 0.0]},
        stride=2,
        same=True,
    )
    assert y.tolist() == [[[[3.0, 7.0], [19.0, 23.0]], [[30.0, 90.0], [270.0, 330.0]]]]


def test_a_transposed_convolution_doubles() -> None:
    kernel = [[[[1.0, 2.0], [3.0, 4.0]]]]
    y = one("transposed_convolution", torch.tensor([[[[1.0, 10.0]]]]), {"weight": kernel, "bias": [0.5]})
    assert y.tolist() == [[[[1.5, 2.5, 10.5, 20.5], [3.5, 4.5, 30.5, 40.5]]]]


def test_resizing_uses_pixel_centres() -> None:
    y = one("resize", torch.tensor([[[[0.0, 4.0]]]]), size=[1, 4])
    assert y.tolist() == [[[[0.0, 1.0, 3.0, 4.0]]]]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("relu", [0.0, 0.0, 1.0, 4.0]),
        ("hard_swish", [0.0, -1 / 3, 4 / 6, 4.0]),  # x min(max(x + 3, 0), 6) / 6
        ("sigmoid", [0.0179862, 0.2689414, 0.7310586, 0.9820138]),
    ],
)
def test_activations(kind: str, expected: list[float]) -> None:
    y = one(kind, torch.tensor([-4.0, -1.0, 1.0, 4.0]).reshape(1, 1, 1, 4))
    assert y.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_mean_add_and_multiply_form_a_gate() -> None:
    operations = [
        {"kind": "mean", "inputs": [0], "output": 1},
        {"kind": "multiply", "inputs": [0, 1], "output": 2},
        {"kind": "add", "inputs": [2, 0], "output": 3},
    ]
    y = graph.run(COUNT, network(operations, {}, last=3))
    assert torch.equal(y, COUNT * 8.5 + COUNT)


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(ValueError, match="no operation is called 'tanh'"):
        one("tanh", COUNT)


# --- refinement


def test_box_means_ignore_what_lies_outside() -> None:
    means = box_mean(COUNT[0].double(), 1)[0]
    assert means[0, 0].item() == (1 + 2 + 5 + 6) / 4
    assert means[1, 1].item() == 6.0
    assert means[0, 2].item() == (2 + 3 + 4 + 6 + 7 + 8) / 6


def test_refinement_moves_a_blurred_edge_onto_the_photographs_edge() -> None:
    image = torch.zeros(3, 32, 32)
    image[:, :, 16:] = 0.8
    blurred = ((torch.arange(32.0) - 11) / 10).clamp(0, 1).expand(32, 32)
    refined = refine(blurred, image, 4)
    assert refined.dtype == torch.float32
    assert refined.min() >= 0
    assert refined.max() <= 1
    before = blurred[16, 16] - blurred[16, 15]
    after = refined[16, 16] - refined[16, 15]
    assert before == pytest.approx(0.1, abs=1e-6)
    assert after > 0.5
    assert torch.equal(refined[:, :4], torch.zeros(32, 4))
    assert torch.equal(refined[:, 28:], torch.ones(32, 4))


def test_refinement_leaves_decided_masks_alone() -> None:
    image = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    for value in (0.0, 1.0):
        mask = torch.full((20, 20), value)
        assert torch.allclose(refine(mask, image, 3), mask, atol=1e-6)


# --- the facade


def bright_is_person() -> Weights:
    """A network of one convolution whose mask is where the picture is bright."""
    operations = [
        {"kind": "convolution", "inputs": [0], "output": 1, "stride": 1, "same": True, "tensors": "00"},
        {"kind": "sigmoid", "inputs": [1], "output": 2},
    ]
    tensors = {"00.weight": np.full((1, 3, 1, 1), 20.0), "00.bias": [-30.0]}
    return network(operations, tensors, size=16, last=2)


def bright_square() -> Tensor:
    image = torch.zeros(3, 48, 64)
    image[:, 12:36, 20:44] = 1
    return image


@pytest.mark.parametrize("refined", [True, False])
def test_a_mask_has_the_photographs_size_and_knows_its_area(refined: bool) -> None:
    found = segmentation.segment(bright_square(), bright_is_person(), refined=refined)
    assert found.probability.shape == (48, 64)
    assert found.method == "person"
    assert found.coverage == pytest.approx(24 * 24 / (48 * 64), abs=0.02)
    assert 0.9 < found.confidence <= 1
    assert found.probability[24, 32] > 0.99
    assert found.probability[2, 2] < 0.01


def test_nobody_is_found_in_the_dark() -> None:
    found = segmentation.segment(torch.zeros(3, 20, 30), bright_is_person(), tiny_sam_weights())
    assert found.coverage < 0.01
    assert found.method == "person"


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="expected weights of person, lraspp"):
        segmentation.segment(bright_square(), Weights("vgg16", {}, IMAGENET, "", {}))


# --- segment-anything


def tiny_sam() -> Any:
    """The package's own classes, 64 px wide, with seeded random weights."""
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    torch.manual_seed(0)
    made = Sam(
        ImageEncoderViT(
            img_size=64, patch_size=16, embed_dim=16, depth=1, num_heads=2, out_chans=16, window_size=2
        ),
        PromptEncoder(embed_dim=16, image_embedding_size=(4, 4), input_image_size=(64, 64), mask_in_chans=4),
        MaskDecoder(
            transformer_dim=16,
            transformer=TwoWayTransformer(depth=1, embedding_dim=16, num_heads=2, mlp_dim=16),
            iou_head_depth=2,
            iou_head_hidden_dim=16,
        ),
    )
    return made.eval()


def tiny_sam_weights() -> Weights:
    state = {name: tensor.numpy() for name, tensor in tiny_sam().state_dict().items()}
    return Weights("sam_vit_b", state, SAM, "", {})


def test_segment_anything_answers_with_a_mask_of_the_photographs_size() -> None:
    prior = torch.zeros(48, 64)
    prior[12:36, 20:44] = 1
    first = sam.ask(tiny_sam(), bright_square(), prior)
    second = sam.ask(tiny_sam(), bright_square(), prior)
    assert first.probability.shape == (48, 64)
    assert first.probability.dtype == torch.float32
    assert 0 <= first.probability.min() <= first.probability.max() <= 1
    assert 0 <= first.quality <= 1
    assert 0 <= first.agreement <= 1
    assert torch.equal(first.probability, second.probability)


def test_the_mask_with_the_best_quality_times_agreement_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    import segment_anything

    prior = torch.zeros(8, 8)
    prior[2:6, 2:6] = 1
    exact = np.where(prior.numpy() > 0.5, 9.0, -9.0).astype(np.float32)
    everything = np.full((8, 8), 9.0, dtype=np.float32)
    asked: dict[str, Any] = {}

    class Predictor:
        def __init__(self, _: Any) -> None:
            pass

        def set_image(self, image: Any, image_format: str) -> None:
            asked["image"], asked["format"] = image, image_format

        def predict(self, **prompts: Any) -> tuple[Any, Any, None]:
            asked.update(prompts)
            return np.stack([everything, exact, -exact]), np.array([0.95, 0.9, 0.99]), None

    monkeypatch.setattr(segment_anything, "SamPredictor", Predictor)
    image = torch.full((3, 8, 8), 0.5)
    answer = sam.ask(None, image, prior)
    assert answer.agreement == 1.0
    assert answer.quality == pytest.approx(0.9)
    assert (asked["image"].shape, asked["image"].dtype, asked["format"]) == ((8, 8, 3), np.uint8, "RGB")
    assert asked["image"][0, 0, 0] == 128
    assert asked["box"].tolist() == [2, 2, 6, 6]
    assert asked["point_coords"].shape[1] == 2


@pytest.mark.parametrize(("answered", "method"), [(0.9, "person + sam_vit_b"), (-0.9, "person")])
def test_segment_anything_is_used_when_it_agrees(
    answered: float, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: Any, __: Tensor, prior: Tensor) -> sam.Answer:
        mask = (prior > 0.5).float() if answered > 0 else (prior <= 0.5).float()
        return sam.Answer(mask, abs(answered), float(answered > 0))

    monkeypatch.setattr(sam, "build", lambda _: tiny_sam())
    monkeypatch.setattr(sam, "ask", answer)
    found = segmentation.segment(bright_square(), bright_is_person(), tiny_sam_weights())
    assert found.method == method
    assert found.probability[24, 32] > 0.9
    if method != "person":
        assert found.confidence == pytest.approx(0.9)


def test_prompts_lie_where_they_should() -> None:
    prior = torch.zeros(60, 80)
    prior[10:50, 20:40] = 1
    prior[40:50, 40:70] = 1
    prompts = sam.prompts_of(prior)
    assert prompts.box == Box(10, 20, 50, 70)
    assert prompts.inside.tolist() == [True, True, True, False]
    for (row, column), inside in zip(prompts.points.astype(int), prompts.inside, strict=True):
        assert bool(prior[row, column] > 0.5) is bool(inside)
        assert 10 <= row < 50
        assert 20 <= column < 70
    with pytest.raises(ValueError, match="the prior is empty"):
        sam.prompts_of(torch.zeros(4, 4))


def test_a_mask_that_fills_the_picture_has_points_too() -> None:
    prompts = sam.prompts_of(torch.ones(300, 200))
    assert prompts.box == Box(0, 0, 300, 200)
    assert prompts.inside.all()
    assert len(prompts.points) >= 1


def test_intersection_over_union() -> None:
    a = torch.tensor([[True, True, False, False]])
    b = torch.tensor([[False, True, True, False]])
    assert sam.intersection_over_union(a, b) == pytest.approx(1 / 3)
    assert sam.intersection_over_union(a & b & ~a, a & ~a) == 0


# --- other libraries' modules


def test_a_checkpoint_of_another_size_is_one_line() -> None:
    with pytest.raises(WeightsError, match="expected the tensors of Linear") as error:
        fill(torch.nn.Linear(2, 2), Weights("sam_vit_b", {"weight": np.zeros((3, 2))}, SAM, "", {}))
    assert "\n" not in str(error.value)


def test_torchvisions_network_gives_a_probability_of_the_photographs_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    monkeypatch.setattr(torchvision_models, "_SHORTER_SIDE_PX", 64)
    torch.manual_seed(0)
    made = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21)
    state = {name: tensor.numpy() for name, tensor in made.state_dict().items()}
    weights = Weights("lraspp_mobilenet_v3_large", state, IMAGENET, "", {})
    probability = torchvision_models.person_probability(bright_square(), weights)
    assert probability.shape == (48, 64)
    assert 0 <= probability.min() <= probability.max() <= 1


class ClassByBrightness(torch.nn.Module):
    """Class 15 (person) where the normalised red is large; one layer has the name of a real one."""

    def __init__(self) -> None:
        super().__init__()
        self.aux_classifier = torch.nn.Linear(1, 1)
        self.seen = torch.zeros(0)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        self.seen = x
        classes = torch.zeros(1, 21, *x.shape[2:])
        classes[:, 15] = 100 * (x[:, 0] - 1.0)
        return {"out": classes}


def test_torchvisions_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import segmentation as theirs

    asked: dict[str, Any] = {}
    network = ClassByBrightness()

    def build(**options: Any) -> ClassByBrightness:
        asked.update(options)
        return network

    monkeypatch.setattr(theirs, "deeplabv3_resnet101", build)
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    weights = Weights("deeplabv3_resnet101", state, IMAGENET, "", {})
    probability = torchvision_models.person_probability(bright_square(), weights)
    assert asked == {"weights": None, "weights_backbone": None, "num_classes": 21, "aux_loss": True}
    assert network.seen.shape == (1, 3, 520, 693)  # 48x64, the shorter side to 520
    # (1 - 0.485) / 0.229 and (0 - 0.406) / 0.225
    assert network.seen[0, 0].max().item() == pytest.approx(2.2489083, abs=1e-5)
    assert network.seen[0, 2].min().item() == pytest.approx(-1.8044444, abs=1e-5)
    assert probability[24, 32] > 0.99
    assert probability[2, 2] < 0.01
