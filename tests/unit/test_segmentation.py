"""The graph runner against literal small cases, the facade, torchvision's shapes."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch
from tiny_sam import tiny_sam, tiny_sam_weights
from torch import Tensor

from pipeline import segmentation
from pipeline.errors import WeightsError
from pipeline.segmentation import graph, people, sam, subject, torchvision_models
from pipeline.segmentation.detection import Person
from pipeline.segmentation.modules import fill
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


def test_zeros_go_where_they_are_asked_for() -> None:
    y = one("pad", COUNT[:, :, :1, :2], sides=[1, 0, 0, 2])
    assert y.tolist() == [[[[0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]]


def test_depth_to_space_takes_a_blocks_pixels_from_groups_of_channels() -> None:
    # TensorFlow: channel (2 row + column) * C + c of a pixel is channel c of its block at (row, column).
    x = torch.arange(8.0).reshape(1, 8, 1, 1)
    y = one("depth_to_space", x)
    assert y.tolist() == [[[[0.0, 2.0], [4.0, 6.0]], [[1.0, 3.0], [5.0, 7.0]]]]


def test_rows_are_pixels_whose_channels_are_dealt_out() -> None:
    x = torch.stack([COUNT[0, 0, :1, :2], 10 * COUNT[0, 0, :1, :2]])[None]
    assert one("rows", x, columns=1).tolist() == [[[1.0], [10.0], [2.0], [20.0]]]
    operations = [
        {"kind": "rows", "inputs": [0], "output": 1, "columns": 2},
        {"kind": "concatenate", "inputs": [1, 1], "output": 2, "axis": 1},
        {"kind": "concatenate", "inputs": [1, 1], "output": 3, "axis": 2},
    ]
    assert graph.run(x, network(operations, {}, last=2)).tolist() == [
        [[1.0, 10.0], [2.0, 20.0], [1.0, 10.0], [2.0, 20.0]]
    ]
    assert graph.run(x, network(operations, {}, last=3)).tolist() == [
        [[1.0, 10.0, 1.0, 10.0], [2.0, 20.0, 2.0, 20.0]]
    ]


def test_an_activation_follows_its_operation() -> None:
    weights = {"weight": [[[[-1.0]]]], "bias": [4.0]}
    x = torch.tensor([-9.0, 0.0, 3.0, 7.0]).reshape(1, 1, 1, 4)
    y = one("convolution", x, weights, stride=1, same=True, activation="relu6")
    assert y.flatten().tolist() == [6.0, 4.0, 1.0, 0.0]


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(ValueError, match="no operation is called 'tanh'"):
        one("tanh", COUNT)


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


HERE = Person(0.9, (20.0, 32.0), (30.0, 32.0), 20.0)


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> list[Person]:
    """Whom the detector finds: the test's to change."""
    found = [HERE]
    monkeypatch.setattr(people, "find_people", lambda _, __: (found, 0.4))
    return found


def detector() -> Weights:
    return Weights("person_detector", {}, Preprocessing(), "", {})


def test_a_mask_has_the_photographs_size_and_knows_its_area(somebody: list[Person]) -> None:
    found = segmentation.segment(bright_square(), bright_is_person(), detector=detector())
    assert found.probability.shape == (48, 64)
    assert found.probability.dtype == torch.float32
    assert (found.method, found.nobody, found.warnings) == ("person", "", ())
    assert found.coverage == pytest.approx(24 * 24 / (48 * 64), abs=0.02)
    assert found.probability[24, 32] > 0.99
    assert found.probability[2, 2] < 0.01
    (person,) = found.people
    assert person.score == somebody[0].score
    for edge, expected in zip(dataclasses.astuple(person.box), (12, 20, 36, 44), strict=True):
        assert edge == pytest.approx(expected, abs=1)
    # Nearly everything probable is decided, and the detector is sure by 0.9.
    assert 0.5 < found.confidence < 0.9


def test_what_the_detector_does_not_take_for_a_person_is_no_person(somebody: list[Person]) -> None:
    somebody.clear()
    found = segmentation.segment(bright_square(), bright_is_person(), detector=detector())
    assert torch.equal(found.probability, torch.zeros(48, 64))
    assert (found.coverage, found.people) == (0.0, ())
    assert found.nobody == "the detector is sure of nobody, its best score being 0.40"
    assert found.confidence == pytest.approx(0.6)


@pytest.mark.usefixtures("somebody")
def test_whom_the_segmenter_does_not_see_is_nobody() -> None:
    dark = torch.zeros(3, 48, 64)
    found = segmentation.segment(dark, bright_is_person(), detector=detector(), sharpener=tiny_sam_weights())
    assert torch.equal(found.probability, torch.zeros(48, 64))
    assert found.nobody == "the segmenter confirms none of the detector's 1"


def test_a_subject_needs_no_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = torch.zeros(48, 64)
    monkeypatch.setattr(subject, "subject_probability", lambda _, __: answer)
    weights = Weights("subject", {}, IMAGENET, "", {})
    nobody = segmentation.segment(bright_square(), weights)
    assert nobody.nobody == "the mask of subject covers 0.00% of the image"
    answer[:, :16] = 1
    found = segmentation.segment(bright_square(), weights)
    assert (found.method, found.coverage, found.confidence, found.people) == ("subject", 0.25, 1.0, ())


def test_an_unknown_method_and_a_missing_detector_are_refused() -> None:
    with pytest.raises(ValueError, match="expected weights of person, subject, lraspp"):
        segmentation.segment(bright_square(), Weights("vgg16", {}, IMAGENET, "", {}))
    with pytest.raises(ValueError, match="expected weights of person_detector beside"):
        segmentation.segment(bright_square(), bright_is_person())


@pytest.mark.usefixtures("somebody")
@pytest.mark.parametrize(("answered", "method"), [(0.9, "person + sam_vit_b"), (-0.9, "person")])
def test_segment_anything_is_used_when_it_agrees_and_told_of_when_not(
    answered: float, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(_: Any, __: Tensor, priors: list[Tensor]) -> list[sam.Answer]:
        masks = [(prior > 0.5 if answered > 0 else prior <= 0.5).float() for prior in priors]
        return [sam.Answer(mask, abs(answered), float(answered > 0)) for mask in masks]

    monkeypatch.setattr(sam, "build", lambda _: tiny_sam())
    monkeypatch.setattr(sam, "ask_all", answers)
    found = segmentation.segment(
        bright_square(), bright_is_person(), detector=detector(), sharpener=tiny_sam_weights()
    )
    assert found.method == method
    assert found.probability[24, 32] > 0.9
    if method == "person":
        assert found.warnings == (
            "sam_vit_b disagrees with person: its mask 1 of 1 overlaps what was found by 0.00, "
            "less than 0.5, and is not used",
        )
    else:
        assert found.warnings == ()
        assert found.confidence == pytest.approx(0.9 * 0.9)


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
