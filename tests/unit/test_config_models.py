"""What a valid configuration means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.config.controls import Region
from pipeline.config.masks import mask_files
from pipeline.config.models import Artwork, Config, Defaults
from pipeline.config.sections import Masks, Network, length_px
from pipeline.layers import VGG16, VGG19


def artwork(**settings: Any) -> Artwork:
    return Artwork.model_validate({"content": "c.png", "style": "s.png", **settings})


def test_a_content_and_a_style_are_a_whole_artwork() -> None:
    found = artwork()
    assert found.content == Path("c.png")
    assert [region.where for region in found.regions] == ["everything"]
    assert [style.image for style in found.regions[0].styles] == [Path("s.png")]
    assert (found.content_weight, found.style_weight, found.start, found.seed) == (1.0, 1000.0, "content", 0)
    assert found.levels is None
    assert [found.at_level(index, 512).iterations for index in (0, 1, 7)] == [200, 60, 60]
    assert (found.needs_guidance, found.guidance_channels) == (False, 0)
    assert (found.network.name, found.network.pooling, found.optimiser.method) == ("vgg16", "max", "lbfgs")
    assert (found.print.dpi, found.print.bits, found.colour.mode) == (300, 8, "none")


def test_the_short_form_of_a_style_can_say_more() -> None:
    found = artwork(style={"image": "s.png", "scale": 2, "weight": 3, "mask": "m.png"})
    (style,) = found.regions[0].styles
    assert (style.scale, style.weight, style.mask) == (2, 3, "m.png")


def test_regions_have_labels_mask_files_and_channels() -> None:
    found = artwork(
        style=None,
        regions=[
            {"where": "person", "style": "a.png"},
            {"where": "background", "style": "b.png"},
            {"where": "masks/the sky.png", "style": "c.png"},
            {"where": "masks/sea.png", "style": "d.png", "name": "water"},
        ],
    )
    assert [region.label for region in found.regions] == ["person", "background", "the-sky", "water"]
    assert mask_files(region.where for region in found.regions) == (
        Path("masks/the sky.png"),
        Path("masks/sea.png"),
    )
    assert (found.needs_guidance, found.guidance_channels) == (True, 4)


def test_one_region_of_a_mask_needs_guidance() -> None:
    assert artwork(style=None, regions=[{"where": "m.png", "style": "s.png"}]).guidance_channels == 1


def test_a_key_without_a_value_counts_as_not_written() -> None:
    found = artwork(levels=None, colour=None, print={"width": None, "dpi": None}, seed=None)
    assert found == artwork()


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("20 cm", 2362),
        ("20cm", 2362),
        (" 8.5 in ", 2550),
        ("300 mm", 3543),
        ("0.5 mm", 6),
        ("0.01 mm", 1),
        ("8000 px", 8000),
        ("1.6px", 2),
    ],
)
def test_lengths(text: str, pixels: int) -> None:
    assert length_px(text, dpi=300) == pixels


@pytest.mark.parametrize(
    "text", ["20", "cm", "20 m", "-1 cm", "1e3 mm", "0 cm", "0.0 in", "", "1,5 cm", "٣ cm"]
)
def test_what_is_no_length(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"^must be a length with its unit \(mm, cm, in or px\), such as '20 cm'"
    ):
        length_px(text, dpi=300)


@given(st.integers(1, 10**6))
def test_a_length_in_each_unit(tenths: int) -> None:
    # At 25.4 dpi a millimetre is a pixel; both sides are rounded.
    assert length_px(f"{tenths / 10} mm", dpi=25.4) == pytest.approx(tenths / 10, abs=1)
    assert length_px(f"{tenths / 10} cm", dpi=25.4) == pytest.approx(tenths, abs=1)
    assert length_px(f"{tenths / 10} in", dpi=25.4) == pytest.approx(2.54 * tenths, abs=1)


def test_networks_and_their_architectures() -> None:
    assert Network(name="vgg16").architecture is VGG16
    assert Network(name="vgg19").architecture is VGG19
    assert Network(name="vgg19_oxford").architecture is VGG19


def test_layers_come_shallowest_first_and_once() -> None:
    network = Network(style_layers=("relu4_2", "relu1_1"), content_layers=("relu4_2",))
    assert network.layers == ("relu1_1", "relu4_2")


def test_masks_name_their_model_files() -> None:
    assert Masks().weights == ("person", "person_detector")
    assert Masks(sam="vit_b").weights == ("person", "person_detector", "sam_vit_b")
    assert Masks(method="subject").weights == ("subject",)
    assert Masks(method="deeplabv3_resnet101").weights == ("deeplabv3_resnet101",)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        artwork().seed = 3  # type: ignore[misc]


def test_defaults_need_no_content_and_no_style() -> None:
    assert Defaults().regions == ()


def test_a_region_is_written_as_it_is_read() -> None:
    region = Region.model_validate({"where": "person", "style": "s.png"})
    assert Region.model_validate(region.model_dump(mode="json")) == region


def test_the_whole_with_its_defaults() -> None:
    config = Config(artworks={"a": artwork()})
    assert (config.results_dir, config.resources_dir) == (Path("results"), Path("resources"))
    assert (config.compute.device, config.compute.precision, config.compute.threads) == ("auto", "auto", 2)
    assert config.compute.memory_budget_mib == 4096
