from __future__ import annotations

import pytest

from pipeline.layers import CONTENT_LAYERS, STYLE_LAYERS, VGG16, VGG19, Architecture, Layer

# METHOD.md section 6: R, halo, of each network.
TABLE = {
    "relu5_1": ((132, 64), (156, 80)),
    "relu4_2": ((76, 40), (84, 40)),
    "relu4_1": ((60, 32), (68, 32)),
    "relu3_1": ((24, 12), (24, 12)),
    "relu2_1": ((10, 4), (10, 4)),
}


@pytest.mark.parametrize("name", TABLE)
def test_receptive_fields_and_halos(name: str) -> None:
    found = [VGG16.layer(name), VGG19.layer(name)]
    assert tuple((layer.receptive_field_px, layer.halo_px) for layer in found) == TABLE[name]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("relu1_1", Layer("relu1_1", 64, 1, 3)),
        ("relu1_2", Layer("relu1_2", 64, 1, 5)),
        ("relu2_1", Layer("relu2_1", 128, 2, 10)),
        ("relu3_1", Layer("relu3_1", 256, 4, 24)),
        ("relu4_2", Layer("relu4_2", 512, 8, 76)),
        ("relu5_1", Layer("relu5_1", 512, 16, 132)),
    ],
)
def test_the_table_of_vgg16(name: str, layer: Layer) -> None:
    assert VGG16.layer(name) == layer


def test_names_in_order() -> None:
    assert VGG16.names[:5] == ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1")
    assert (len(VGG16.names), len(VGG19.names)) == (13, 16)
    assert VGG19.names[-1] == "relu5_4"
    assert VGG16.layer("relu4_2").convolution == "conv4_2"


def test_the_papers_layers_are_in_both_networks() -> None:
    for network in (VGG16, VGG19):
        assert set(STYLE_LAYERS + CONTENT_LAYERS) <= set(network.names)


def test_the_deepest_of_several_and_all_on_the_way_to_it() -> None:
    assert VGG16.deepest(["relu4_2", "relu1_1", "relu4_1"]).name == "relu4_2"
    assert [layer.name for layer in VGG16.up_to(["relu1_1", "relu2_1"])] == ["relu1_1", "relu1_2", "relu2_1"]


def test_an_unknown_layer_lists_the_known_ones() -> None:
    small = Architecture("small", (1, 1), (2, 3))
    with pytest.raises(KeyError, match=r"small has no layer 'relu3_1'; it has relu1_1, relu2_1"):
        small.layer("relu3_1")


def test_a_halo_is_rounded_up_to_its_stride() -> None:
    assert Layer("relu2_1", 1, 2, 10).halo_px == 4
    assert Layer("relu2_2", 1, 2, 14).halo_px == 6
    assert Layer("relu3_1", 1, 4, 26).halo_px == 12
