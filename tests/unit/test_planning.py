"""From settings to a plan: keys, colours, files, warnings, and what is refused before any work."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import gradient, save

from pipeline.config.reading import parse
from pipeline.errors import ConfigError, InputError
from pipeline.geometry import Size
from pipeline.plan import Plan, read_plan
from pipeline.planning import resolve
from pipeline.shared_plans import Area, Recolouring

SIZES = {
    "c.png": Size(400, 600),
    "d.png": Size(600, 400),
    "s.png": Size(512, 512),
    "t.png": Size(768, 1024),
    "wide.png": Size(100, 1000),
    "m.png": Size(200, 300),
    "square.png": Size(300, 300),
    "strip.png": Size(300, 1),
}
TWO_REGIONS = [{"where": "person", "style": "s.png"}, {"where": "background", "style": "t.png"}]


def size_of(path: Path) -> Size:
    if path.name not in SIZES:
        raise InputError(path, expected="an image file", found="no such file")
    return SIZES[path.name]


def config(own: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    return {"artworks": {"a": {"content": "c.png", "levels": [256, 512], **own}}, **others}


def plan(own: Mapping[str, Any], **others: Any) -> Plan:
    return resolve(parse(config(own, **others)), "a", size_of)


def test_a_whole_plan_of_the_simplest_artwork() -> None:
    found = plan({"style": "s.png", "iterations": [80, 25]})
    assert found.artwork == "a"
    assert {key: str(path) for key, path in found.sources.items()} == {
        found.content: "c.png",
        "s-a014009be3c1": "s.png",
    }
    assert [(level.level_px, str(level.size), level.iterations) for level in found.levels] == [
        (256, "209x314", 80),
        (512, "418x627", 25),
    ]
    assert [(level.tile_core_px, level.halo_px) for level in found.levels] == [(None, 64), (None, 64)]
    (region,) = found.levels[0].regions
    assert (region.label, region.where, region.weight) == ("everything", "everything", 1.0)
    target = found.targets[region.targets[0].target]
    image = found.images[target.image]
    assert (image.height, image.width, image.recolourings) == (256, 256, ())
    assert found.sources[image.prepared] == Path("s.png")
    assert found.images[found.levels[0].content].prepared == found.content
    assert (found.weights, found.masks, found.warnings) == ({"vgg16": None}, {}, ())
    assert found.level(512) is found.levels[1]
    assert found.inputs == (Path("c.png"), Path("s.png"))


def test_a_plan_is_written_as_it_is_read(tmp_path: Path) -> None:
    found = plan({"regions": TWO_REGIONS, "colour": {"mode": "luminance"}})
    (tmp_path / "plan.json").write_text(found.model_dump_json(), encoding="utf-8")
    assert read_plan(tmp_path / "plan.json") == found


# -- keys --------------------------------------------------------------------------------------------


@given(
    st.text(min_size=1, max_size=90)
    .filter(lambda stem: not set(stem) & set("/\0{}\n") and stem.strip(". "))
    # What begins with a hyphen is refused.
    .filter(lambda stem: not stem.startswith("-"))
)
def test_a_key_is_a_plain_name_whatever_the_files(stem: str) -> None:
    raw = config({"content": f"{stem}.png", "style": "s.png"})
    found = resolve(parse(raw), "a", lambda _: Size(100, 100))
    for key in (*found.sources, *found.images, *found.targets):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*-[0-9a-f]{12}", key)


def test_keys_of_files_with_one_name_in_two_folders_differ() -> None:
    found = plan({"content": "x/c.png", "style": {"image": "y/c.png"}})
    assert len(found.sources) == 2
    assert all(key.startswith("c-") for key in found.sources)


CHANGES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    ({"iterations": [7]}, set()),
    ({"content_weight": 3}, set()),
    ({"seed": 3}, set()),
    ({"print": {"dpi": 72}}, set()),
    ({"network": {"content_layers": ["relu3_1"]}}, set()),
    ({"optimiser": {"method": "adam"}}, set()),
    ({"content": "d.png"}, {"content"}),
    ({"network": {"style_layers": ["relu1_1"]}}, {"target"}),
    ({"network": {"pooling": "average"}}, {"target"}),
    ({"network": {"name": "vgg19"}}, {"target"}),
    ({"style": {"image": "s.png", "mask": "s.png"}}, {"target"}),
    ({"style": {"image": "s.png", "weight": 2}}, set()),
    ({"style": {"image": "s.png", "scale": 2}}, {"image", "target"}),
    ({"style": "t.png"}, {"image", "target"}),
    ({"levels": [300, 512]}, {"content", "image", "target"}),
    ({"colour": {"mode": "style_to_content"}}, {"image", "target"}),
    ({"colour": {"mode": "luminance"}}, {"content", "image", "target"}),
    ({"colour": {"mode": "content_to_style"}}, {"content"}),
]


@pytest.mark.parametrize(("change", "moved"), CHANGES)
def test_a_key_changes_with_what_it_depends_on_and_with_nothing_else(
    change: dict[str, Any], moved: set[str]
) -> None:
    def keys(found: Plan) -> dict[str, str]:
        lowest = found.levels[0]
        target = lowest.regions[0].targets[0].target
        return {"content": lowest.content, "image": found.targets[target].image, "target": target}

    before, after = keys(plan({"style": "s.png"})), keys(plan({"style": "s.png", **change}))
    assert {name for name in before if before[name] != after[name]} == moved


def test_a_mask_is_shared_by_regions_and_depends_on_how_it_is_found() -> None:
    found = plan({"regions": TWO_REGIONS})
    assert [mask.prepared for mask in found.masks.values()] == [found.content]
    other = plan({"regions": TWO_REGIONS, "masks": {"method": "deeplabv3_resnet101"}})
    assert set(found.masks) & set(other.masks) == set()


@given(st.randoms(use_true_random=False))
def test_a_plan_is_a_pure_function_of_settings_whatever_their_order(random: Any) -> None:
    raw = {"regions": TWO_REGIONS, "iterations": [3], "colour": {"mode": "luminance", "luma_match": "mean"}}
    items = list(raw.items())
    random.shuffle(items)
    assert plan(dict(items)) == plan(raw)


# -- colours, weights, masks -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colour", "of_content", "of_style"),
    [
        ({"mode": "none"}, None, None),
        (
            {"mode": "style_to_content", "transform": "chol"},
            None,
            ("linear", "chol", "c.png", None),
        ),
        ({"mode": "content_to_style"}, ("linear", "pca", "s.png", None), None),
        (
            {"mode": "style_to_content", "source": "t.png", "transform": "histogram"},
            None,
            ("linear", "histogram", "t.png", None),
        ),
        ({"mode": "content_to_style", "source": "t.png"}, ("linear", "pca", "t.png", None), None),
        (
            {"mode": "luminance", "luma_match": "mean"},
            ("luma", None, None, None),
            ("luma", None, "c.png", "mean"),
        ),
    ],
)
def test_what_happens_to_colours(colour: dict[str, str], of_content: Any, of_style: Any) -> None:
    found = plan({"style": "s.png", "colour": colour})

    def how(image: str) -> tuple[str, str | None, str | None, str | None] | None:
        if not found.images[image].recolourings:
            return None
        (recolouring,) = found.images[image].recolourings
        assert (recolouring.area, recolouring.reference_area) == (None, None)
        reference = recolouring.reference
        source = None if reference is None else str(found.sources[reference])
        return recolouring.mode, recolouring.transform, source, recolouring.luma_match

    level = found.levels[0]
    assert how(level.content) == of_content
    assert how(found.targets[level.regions[0].targets[0].target].image) == of_style


def recolourings(found: Plan, region: int) -> tuple[Recolouring, ...]:
    target = found.levels[0].regions[region].targets[0].target
    return found.images[found.targets[target].image].recolourings


def test_a_style_takes_the_colours_of_the_part_that_its_region_covers() -> None:
    regions = [{"where": "person", "style": {"image": "s.png", "mask": "m.png"}}, TWO_REGIONS[1]]
    found = plan({"regions": regions, "colour": {"mode": "style_to_content"}})
    (mask,) = found.masks
    of_content = {"mode": "linear", "transform": "pca", "reference": found.content}
    assert recolourings(found, 0) == (
        Recolouring(
            **of_content,
            area=Area(file=Path("m.png")),
            reference_area=Area(mask=mask),
            everywhere=True,
        ),
    )
    assert recolourings(found, 1) == (
        Recolouring(**of_content, reference_area=Area(mask=mask, inverted=True)),
    )
    whole = plan({"regions": TWO_REGIONS, "colour": {"mode": "style_to_content", "per_region": False}})
    assert recolourings(whole, 0) == recolourings(whole, 1) == (Recolouring(**of_content),)


def test_a_region_may_have_colours_of_its_own() -> None:
    regions = [{**TWO_REGIONS[0], "colour": {"mode": "luminance"}}, TWO_REGIONS[1]]
    found = plan({"regions": regions})
    (mask,) = found.masks
    assert found.images[found.levels[0].content].recolourings == (
        Recolouring(mode="luma", area=Area(mask=mask)),
    )
    (luma,) = recolourings(found, 0)
    assert (luma.mode, luma.reference, luma.reference_area) == ("luma", found.content, Area(mask=mask))
    assert recolourings(found, 1) == ()
    assert found.chroma == (Area(mask=mask),)


def test_luminance_everywhere_has_one_map_and_chroma_everywhere() -> None:
    found = plan({"regions": TWO_REGIONS, "colour": {"mode": "luminance"}})
    assert found.images[found.levels[0].content].recolourings == (Recolouring(mode="luma"),)
    assert found.chroma == ()
    assert plan({"regions": TWO_REGIONS}).chroma is None


def test_content_takes_each_regions_colours_where_it_is() -> None:
    found = plan({"regions": TWO_REGIONS, "colour": {"mode": "content_to_style"}})
    (mask,) = found.masks
    (person, background) = found.images[found.levels[0].content].recolourings
    assert (person.area, background.area) == (Area(mask=mask), Area(mask=mask, inverted=True))
    names = [str(found.sources[how.reference or ""]) for how in (person, background)]
    assert names == ["s.png", "t.png"]
    whole = plan({"regions": TWO_REGIONS, "colour": {"mode": "content_to_style", "per_region": False}})
    (once,) = whole.images[whole.levels[0].content].recolourings
    assert (once.area, str(whole.sources[once.reference or ""])) == (None, "s.png")


# -- guidance, levels, mixing ------------------------------------------------------------------------


def test_the_whole_images_styles_are_those_of_the_regions_without_their_masks() -> None:
    sky = {"where": "m.png", "style": {"image": "s.png", "mask": "m.png"}, "name": "sky"}
    ground = {"where": "square.png", "style": {"image": "s.png", "mask": "square.png"}, "name": "ground"}
    other = {"where": "person", "styles": [{"image": "t.png", "weight": 3}, {"image": "s.png"}], "weight": 2}
    guidance = {"form": "means", "propagation": "inside", "grow_units": 2}
    found = plan({"regions": [sky, ground, other], "guidance": guidance})
    images = [
        str(found.sources[found.images[found.targets[t.target].image].prepared])
        for t in found.levels[0].whole
    ]
    assert images == ["s.png", "s.png", "t.png", "s.png"]
    assert [target.weight for target in found.levels[0].whole] == [1, 1, 2 * 0.75, 2 * 0.25]
    assert len({t.target for t in found.levels[0].whole}) == 2
    whole = found.targets[found.levels[0].whole[0].target]
    assert (whole.mask, whole.propagation, whole.grow_units) == (None, "simple", 0)
    masked = found.targets[found.levels[0].regions[0].targets[0].target]
    assert (masked.mask, masked.propagation, masked.grow_units) == (Area(file=Path("m.png")), "inside", 2)


def test_a_strip_of_colours_may_be_one_pixel_wide_and_nothing_else() -> None:
    colour = {"mode": "style_to_content", "source": "strip.png"}
    assert plan({"style": "s.png", "colour": colour}).warnings == ()
    for own, key in (
        ({"content": "strip.png", "style": "s.png"}, "content"),
        ({"style": "strip.png"}, "regions.0.style"),
        ({"style": {"image": "s.png", "fine": "strip.png"}}, "regions.0.style.fine"),
    ):
        with pytest.raises(InputError) as caught:
            plan(own)
        assert str(caught.value) == (
            f"config.yaml: artworks.a.{key}: strip.png: expected sides of at least 16 px; found 300x1 px "
            "(height x width)."
        )


def test_shipped_means_suit_max_pooling() -> None:
    network = {"normalised": True, "pooling": "average"}
    assert [
        "measured with max pooling" in w for w in plan({"style": "s.png", "network": network}).warnings
    ] == [True]
    assert plan({"style": "s.png", "network": {"normalised": True}}).warnings == ()


@pytest.mark.parametrize(
    ("guidance", "share"),
    [
        ({}, 0),
        ({"global_weight": 0.5}, 0.5),
        ({"form": "means"}, 1),
        ({"form": "means", "global_weight": 0}, 0),
        ({"form": "stacked"}, 1),
    ],
)
def test_what_the_whole_image_weighs(guidance: dict[str, Any], share: float) -> None:
    found = plan({"regions": TWO_REGIONS, "guidance": guidance})
    assert found.settings.guidance.whole_share == share
    assert bool(found.levels[0].whole) == (share > 0)
    assert plan({"style": "s.png", "guidance": guidance}).levels[0].whole == ()


def test_a_level_may_have_weights_and_layers_of_its_own() -> None:
    own = {
        "px": 512,
        "iterations": 9,
        "content_weight": 0,
        "tv_weight": 2,
        "style_layers": ["relu1_1"],
        "content_layers": [],
    }
    found = plan({"style": "s.png", "levels": [256, own], "iterations": 5, "content_weight": 3})
    low, high = found.levels
    assert (low.iterations, low.content_weight, low.style_weight, low.tv_weight) == (5, 3, 1000, 0)
    assert (high.iterations, high.content_weight, high.style_weight, high.tv_weight) == (9, 0, 1000, 2)
    assert high.network.layers == ("relu1_1",)
    assert (low.halo_px, high.halo_px) == (64, 1)
    assert found.targets[high.regions[0].targets[0].target].network.style_layers == ("relu1_1",)


def test_auto_levels_are_those_of_the_print_or_of_the_paper() -> None:
    assert [level.level_px for level in plan({"style": "s.png", "levels": "auto"}).levels] == [512, 1024]
    found = plan({"style": "s.png", "levels": "auto", "print": {"width": "2000 px"}})
    assert [(level.level_px, str(level.size)) for level in found.levels] == [
        (408, "333x500"),
        (816, "666x999"),
        (1633, "1333x2000"),
    ]


def test_a_mixture_is_chained_from_level_to_level() -> None:
    style = {"image": "s.png", "fine": "t.png", "fine_scale": 0.5, "scale": 2}
    found = plan({"style": style, "mixing": {"up_to_layer": ["relu2_1", "relu3_2"], "iterations": [7, 3]}})
    (low,) = [mix for mix in found.mixes.values() if mix.lowest]
    (high,) = [mix for mix in found.mixes.values() if not mix.lowest]
    assert found.mixes[high.start] is low
    assert found.sources[found.images[low.start].prepared] == Path("s.png")
    assert found.sources[found.images[low.fine].prepared] == Path("t.png")
    assert (low.size, high.size) == (Size(512, 512), Size(1024, 1024))
    # 4:3 in an area of 128 x 128 px.
    assert (found.images[low.fine].height, found.images[low.fine].width) == (111, 148)
    assert low.network.style_layers == ("relu1_1", "relu2_1")
    assert high.network.style_layers == ("relu1_1", "relu2_1", "relu3_1", "relu3_2")
    assert (low.iterations, high.iterations, low.halo_px, high.halo_px) == (7, 3, 4, 16)
    mixed = [found.targets[level.regions[0].targets[0].target].image for level in found.levels]
    assert mixed == [key for key, _ in sorted(found.mixes.items(), key=lambda item: item[1].height)]


@pytest.mark.parametrize(
    ("own", "coarse", "fine"),
    [
        ({}, None, "s.png"),
        ({"mixing": {"colours": "own"}}, None, None),
        ({"mixing": {"colours": "fine"}}, "t.png", None),
        ({"mixing": {"colours": "fine"}, "colour": {"mode": "style_to_content"}}, "c.png", "c.png"),
    ],
)
def test_whose_colours_a_mixture_has(own: dict[str, Any], coarse: str | None, fine: str | None) -> None:
    found = plan({"style": {"image": "s.png", "fine": "t.png"}, **own})
    lowest = next(mix for mix in found.mixes.values() if mix.lowest)

    def reference(key: str) -> str | None:
        keys = [how.reference for how in found.images[key].recolourings]
        return str(found.sources[keys[0] or ""]) if keys else None

    assert (reference(lowest.start), reference(lowest.fine)) == (coarse, fine)


@pytest.mark.parametrize(("colours", "expected"), [("coarse", "s.png"), ("own", "s.png"), ("fine", "t.png")])
def test_the_content_takes_the_colours_that_the_mixture_has(colours: str, expected: str) -> None:
    own = {"mixing": {"colours": colours}, "colour": {"mode": "content_to_style"}}
    found = plan({"style": {"image": "s.png", "fine": "t.png"}, **own})
    (recolouring,) = found.images[found.levels[0].content].recolourings
    assert str(found.sources[recolouring.reference or ""]) == expected


def test_several_styles_keep_their_weights() -> None:
    styles = [{"image": "s.png", "weight": 3}, {"image": "t.png"}]
    (region,) = plan({"regions": [{"where": "everything", "styles": styles, "weight": 2}]}).levels[0].regions
    assert [target.weight for target in region.targets] == [3.0, 1.0]
    assert region.weight == 2.0


@pytest.mark.parametrize(
    ("own", "names"),
    [
        ({"style": "s.png"}, ["vgg16"]),
        ({"style": "s.png", "masks": {"sam": "vit_b"}}, ["vgg16"]),
        ({"style": "s.png", "network": {"name": "vgg19"}}, ["vgg19"]),
        ({"regions": TWO_REGIONS}, ["vgg16", "person", "person_detector"]),
        ({"regions": [{"where": "m.png", "style": "s.png"}]}, ["vgg16"]),
    ],
)
def test_the_model_files_that_are_needed(own: dict[str, Any], names: list[str]) -> None:
    assert list(plan(own).weights) == names


def test_a_users_own_model_file_is_in_the_plan(tmp_path: Path) -> None:
    (tmp_path / "v.pth").touch()
    found = plan(
        {"style": "s.png"}, weights={"vgg16": {"path": str(tmp_path / "v.pth")}, "person": {"path": "x"}}
    )
    assert list(found.weights) == ["vgg16"]
    assert found.weights["vgg16"] is not None
    assert found.weights["vgg16"].path == tmp_path / "v.pth"


def test_inputs_are_all_files_of_the_users_once() -> None:
    regions = [
        {"where": "m.png", "style": {"image": "s.png", "mask": "square.png"}, "name": "x"},
        {"where": "person", "styles": [{"image": "s.png"}, {"image": "t.png"}]},
    ]
    names = [str(path) for path in plan({"regions": regions}).inputs]
    assert names == ["c.png", "s.png", "t.png", "m.png", "square.png"]


# -- warnings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "warnings"),
    [
        ({"style": "s.png", "levels": [512]}, []),
        (
            {"style": {"image": "t.png", "scale": 0.25}, "levels": [512]},
            [
                "t.png is 111x148 px at level 512, and relu5_1 sees 132 px at once: "
                "the style's large shapes will be missing there"
            ],
        ),
        (
            {"style": "t.png", "levels": [1024]},
            [
                "level 1024 is 2.1 times as large as the content image (400x600 px): "
                "its detail comes from the style alone",
            ],
        ),
        (
            {"style": {"image": "s.png", "scale": 4}, "levels": [256]},
            ["s.png (512x512 px) is enlarged 2.0 times at level 256: its brushwork will look soft there"],
        ),
        (
            {"regions": [{"where": "square.png", "style": "s.png"}]},
            [
                "square.png (300x300 px) has another shape than its content image (400x600 px) "
                "and is stretched"
            ],
        ),
        (
            {"style": {"image": "s.png", "mask": "m.png"}},
            ["m.png (200x300 px) has another shape than its style image (512x512 px) and is stretched"],
        ),
        ({"regions": [{"where": "m.png", "style": "s.png"}]}, []),
    ],
)
def test_warnings(own: dict[str, Any], warnings: list[str]) -> None:
    assert list(plan(own).warnings) == warnings


def test_opacity_of_a_style_image_without_a_mask_is_told(tmp_path: Path) -> None:
    cut_out = str(save(tmp_path / "s.png", np.full((32, 32, 4), 9, np.uint8)))
    whole = str(save(tmp_path / "t.png", gradient(32, 32)))
    styles: list[dict[str, Any]] = [{"image": cut_out}, {"image": cut_out, "mask": "m.png"}, {"image": whole}]
    told = f"{cut_out} has opacity, by which a style image's brushwork is not weighed: the colours hidden "
    for some, count in ((styles, 1), (styles[1:], 0), ([{"image": whole, "fine": cut_out}], 1)):
        found = plan({"regions": [{"where": "everything", "styles": some}]})
        assert sum(warning.startswith(told) for warning in found.warnings) == count


# -- refusals ----------------------------------------------------------------------------------------

REFUSED: list[tuple[Callable[[], Plan], type[Exception], str]] = [
    (
        lambda: plan({"content": "x.png", "style": "s.png"}),
        InputError,
        "config.yaml: artworks.a.content: x.png: expected an image file; found no such file.",
    ),
    (
        lambda: plan({"style": "x.png"}),
        InputError,
        "config.yaml: artworks.a.regions.0.style: x.png: expected an image file; found no such file.",
    ),
    (
        lambda: plan({"regions": [{"where": "x.png", "style": "s.png"}]}),
        InputError,
        "config.yaml: artworks.a.regions.0.where: x.png: expected an image file; found no such file.",
    ),
    (
        lambda: plan({"style": {"image": "s.png", "mask": "x.png"}}),
        InputError,
        "config.yaml: artworks.a.regions.0.style.mask: x.png: expected an image file; found no such file.",
    ),
    (
        lambda: plan({"style": "wide.png", "levels": [64]}),
        ConfigError,
        "config.yaml: artworks.a.regions: expected style images of 32 px at least on their shorter "
        "side; found "
        "20x202 px (height x width) for wide.png at level 64. Raise the style's scale or the lowest "
        "level, or "
        "crop the style image.",
    ),
    (
        lambda: plan({"style": "s.png", "levels": [8000, 9000]}, compute={"memory_budget_mib": 800}),
        ConfigError,
        "config.yaml: compute.memory_budget_mib: expected 851 at least for level 9000 (7348x11023 px) "
        "of a; found 800. Raise it, choose shallower layers, or end at level 196 (160x240 px), the largest "
        "that fits.",
    ),
    (
        lambda: plan({"regions": TWO_REGIONS, "masks": {"sam": "vit_b"}}),
        ConfigError,
        "config.yaml: weights.sam_vit_b: expected its path, or its url and sha256: artworks.a needs "
        "this model "
        "file, and it cannot be fetched by name; found nothing.",
    ),
    (
        lambda: plan({"style": "s.png", "network": {"name": "vgg19_oxford"}}),
        ConfigError,
        "config.yaml: weights.vgg19_oxford: expected its path, or its url and sha256: artworks.a "
        "needs this model "
        "file, and it cannot be fetched by name; found nothing.",
    ),
    (
        lambda: plan({"style": "s.png"}, weights={"vgg16": {"path": "none.pth"}}),
        InputError,
        "config.yaml: weights.vgg16.path: expected a file; found none at none.pth.",
    ),
    (
        lambda: plan({"content": "wide.png", "style": "s.png", "levels": [64]}),
        ConfigError,
        "config.yaml: artworks.a.levels: expected levels that are 32 px at least on their shorter "
        "side; found "
        "20x202 px (height x width) at level 64 for a content image of 100x1000 px. Raise the lowest "
        "level, or "
        "crop the content image.",
    ),
]


@pytest.mark.parametrize(("make", "kind", "line"), REFUSED)
def test_what_is_refused_before_any_work(make: Callable[[], Plan], kind: type[Exception], line: str) -> None:
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("own", "budgets", "line", "ending", "one_more"),
    [
        (
            {"levels": [100, 300]},
            {"memory_budget_mib": 800},
            "memory_budget_mib: expected 851 at least for level 300 (245x367 px) of a; found 800. Raise it, "
            "choose shallower layers, or end at level 196 (160x240 px), the largest that fits.",
            {"levels": [100, 196]},
            {"levels": [100, 197]},
        ),
        (
            {"levels": [256, 60_000]},
            {"disk_budget_gib": 50},
            "disk_budget_gib: expected 443.2 at least for level 60000 (48990x73485 px) of a; found "
            "50. Raise it or end at level 20125 (16432x24648 px), the largest that fits.",
            {"levels": [256, 20125]},
            {"levels": [256, 20126]},
        ),
        (
            # The lower level is too large as well: what is said of it holds for the one that takes its place.
            {"levels": [{"px": 50_000, "iterations": 1}, 60_000]},
            {"disk_budget_gib": 50},
            "disk_budget_gib: expected 499.4 at least for level 60000 (48990x73485 px) of a; found 50. "
            "Raise it or end at level 33548 (27392x41088 px), the largest that fits.",
            {"levels": [{"px": 33548, "iterations": 1}]},
            {"levels": [{"px": 33549, "iterations": 1}]},
        ),
        (
            {"levels": None, "print": {"width": "10 in", "dpi": 3000}},
            {"disk_budget_gib": 10},
            "disk_budget_gib: expected 78.6 at least for level 24495 (20000x30000 px) of a; found 10. "
            "Raise it or end at print.width 10662 px, level 8705 (7108x10662 px), the largest that fits.",
            {"levels": None, "print": {"width": "10662 px"}},
            {"levels": None, "print": {"width": "10663 px"}},
        ),
        (
            {"levels": None, "print": {"width": "30000 px", "height": "10000 px", "bleed": "100 px"}},
            {"disk_budget_gib": 10},
            "disk_budget_gib: expected 40.4 at least for level 17551 (10200x30200 px) of a; found 10. "
            "Raise it or end at print.width 14680 px, print.height 4893 px, level 8705 (5093x14880 px), the "
            "largest that fits.",
            {"levels": None, "print": {"width": "14680 px", "height": "4893 px", "bleed": "100 px"}},
            {"levels": None, "print": {"width": "14681 px", "height": "4894 px", "bleed": "100 px"}},
        ),
        (
            {"levels": None},
            {"disk_budget_gib": 0.1},
            "disk_budget_gib: expected 0.3 at least for level 1024 (836x1254 px) of a; found 0.1. "
            "Raise it or end at level 627 (512x768 px), the largest that fits.",
            {"levels": [512, 627]},
            {"levels": [512, 628]},
        ),
    ],
)
def test_what_cannot_fit_is_refused_with_the_largest_that_would(
    own: dict[str, Any], budgets: dict[str, Any], line: str, ending: dict[str, Any], one_more: dict[str, Any]
) -> None:
    def planned(settings: dict[str, Any]) -> Plan:
        return plan({"style": "s.png", **settings}, compute=budgets)

    with pytest.raises(ConfigError) as caught:
        planned(own)
    assert str(caught.value) == f"config.yaml: compute.{line}"
    assert planned(ending).levels[-1].size.area > 0
    with pytest.raises(ConfigError, match=next(iter(budgets))):
        planned(one_more)


def test_the_largest_print_that_would_fit_is_turned_as_well() -> None:
    def planned(width: int) -> Plan:
        sides = {"width": f"{width} px", "height": f"{3 * width} px", "turn": True}
        own = {"style": "s.png", "levels": None, "print": sides}
        return plan(own, compute={"disk_budget_gib": 10})

    with pytest.raises(ConfigError) as caught:
        planned(10_000)
    line = str(caught.value)
    # The content lies, and so does what is rendered.
    assert "level 17321 (10000x30000 px) of a" in line
    (width, height) = re.findall(r"end at print\.width (\d+) px, print\.height (\d+) px, level", line)[0]
    assert int(height) == 3 * int(width)
    assert planned(int(width)).levels[-1].size == Size(int(width), int(height))
    with pytest.raises(ConfigError, match="disk_budget_gib"):
        planned(int(width) + 1)


def test_where_nothing_fits_no_size_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        plan({"style": "s.png"}, compute={"disk_budget_gib": 0.001})
    assert str(caught.value) == (
        "config.yaml: compute.disk_budget_gib: expected 0.1 at least for level 512 (418x627 px) of a; "
        "found 0.001. Raise it."
    )


def test_without_a_disk_budget_there_is_no_limit() -> None:
    assert plan({"style": "s.png", "levels": [63_000]}).disk_mib > 400_000


def test_a_plan_has_no_other_levels() -> None:
    with pytest.raises(InputError) as caught:
        plan({"style": "s.png"}).level(300)
    assert str(caught.value) == "--level 300: expected one of the plan's levels 256, 512; found 300."


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "expected a plan made by `impasto plan`; found no such file or directory."),
        (
            "{}",
            "expected a plan made by this version of `impasto plan`; found field required at artwork. "
            "Run the plan stage again.",
        ),
        (
            "x",
            "expected a plan made by this version of `impasto plan`; found invalid json: expected "
            "value at line 1 "
            "column 1 at its start. Run the plan stage again.",
        ),
    ],
)
def test_what_is_no_plan(tmp_path: Path, text: str | None, line: str) -> None:
    path = tmp_path / "plan.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_plan(path)
    assert str(caught.value) == f"{path}: {line}"


def test_a_level_in_tiles_is_given_time_for_its_halos_and_its_second_pass() -> None:
    own = {"style": "s.png", "levels": [1024], "iterations": [100]}
    (whole,) = plan(own, compute={"memory_budget_mib": 8192}).levels
    (tiled,) = plan(own, compute={"memory_budget_mib": 1500}).levels
    # 1.2 evaluations of 12 s per megapixel in each iteration, with as much again to spare, and ten minutes.
    assert (whole.tile_core_px, whole.runtime_min) == (
        None,
        10 + round(2 * 100 * 1.2 * 12 * 848 * 1264 / 60e6),
    )
    assert tiled.tile_core_px is not None
    assert tiled.runtime_min - 10 > 1.5 * 1.35 * (whole.runtime_min - 10)


def test_the_plan_says_what_the_print_is() -> None:
    shape = {"width": "20 in", "height": "10 in", "dpi": 90, "bleed": "1 in"}
    found = plan({"style": "s.png", "levels": None, "print": shape})
    printed = found.print
    assert printed is not None
    assert (printed.height_mm, printed.width_mm, printed.bleed_mm) == (254, 508, 25.4)
    assert printed.layout.sheet.size == found.levels[-1].size == Size(1080, 1980)
    # 22 inches, the bleed among them, show all of 600 columns.
    assert printed.content_dpi == pytest.approx(600 / 22, rel=1e-3)
    # The lowest level has a quarter of 1462 px and 1080 rows; relu5_1 sees 132 of its pixels.
    assert str(found.levels[0].size) == "270x496"
    assert printed.largest_structure_mm == pytest.approx(132 * 4 / 90 * 25.4)
    assert found.warnings[0] == (
        "the content image has 27 px per inch of the print, which has 90: finer detail comes from the style "
        "alone"
    )
    assert not any("per inch" in line for line in plan({"style": "s.png", "print": {"dpi": 90}}).warnings)
