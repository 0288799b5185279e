"""Artworks that a trained network paints: their plans, their jobs, and what is refused before any work."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.collection import resolve_collection
from pipeline.config.reading import for_artwork, parse
from pipeline.disk import disk_use
from pipeline.errors import ConfigError, InputError
from pipeline.geometry import Size
from pipeline.job_files import JobFiles
from pipeline.job_resources import JobResources
from pipeline.plan import Plan
from pipeline.plan_table import table
from pipeline.planning import resolve
from pipeline.shared_plans import Area

NETWORK = {"styles": {"fine": "f.png", "wide": "w.png"}, "photographs": ["p1.png", "folder"]}
REGIONS = [{"where": "m.png", "style": "w.png"}, {"where": "not m.png", "style": "f.png"}]
OWN = {"method": "feedforward", "feedforward": {"network": "two"}, "content": "c.png", "regions": REGIONS}


def size_of(path: Path) -> Size:
    if path.name == "gone.png":
        raise InputError(path, expected="an image file", found="no such file")
    return Size(400, 600)


def config(own: Mapping[str, Any] = {}, network: Mapping[str, Any] = {}, **others: Any) -> dict[str, Any]:
    return {
        "networks": {"two": {**NETWORK, **network}},
        "artworks": {"a": {**OWN, "levels": [256, 512], **own}},
        **others,
    }


def plan(own: Mapping[str, Any] = {}, network: Mapping[str, Any] = {}, **others: Any) -> Plan:
    return resolve(parse(config(own, network, **others)), "a", size_of)


def files(own: Mapping[str, Any] = {}, network: Mapping[str, Any] = {}, **others: Any) -> JobFiles:
    return JobFiles(resolve_collection(config(own, network, **others), size_of))


def test_a_network_paints_the_highest_level_alone() -> None:
    found = plan()
    assert found.is_painted
    (level,) = found.levels
    assert (level.level_px, str(level.size), level.iterations) == (512, "418x627", 0)
    assert [region.targets for region in level.regions] == [(), ()]
    assert (found.targets, found.mixes, found.weights) == ({}, {}, {})
    assert found.painting is not None
    # The regions choose among the network's styles by the image.
    assert found.painting.channels == ("wide", "fine")
    assert [str(found.sources[key]) for key in found.painting.styles] == ["w.png", "f.png"]
    assert found.images[found.painting.content].recolourings == ()
    assert "512" in table(found)
    (network,) = found.networks.values()
    assert network.settings.iterations == 40_000


def test_a_print_size_is_painted_at_once() -> None:
    found = plan({"levels": None, "print": {"width": "3000 px"}})
    assert [str(level.size) for level in found.levels] == ["2000x3000"]


def test_the_contents_chroma_comes_back_where_it_is_asked_for() -> None:
    assert plan().chroma is None
    found = plan({"colour": {"mode": "luminance"}})
    assert found.chroma == ()
    assert found.painting is not None
    # The network sees colours: luma alone is what comes out of it.
    assert found.images[found.painting.content].recolourings == ()
    assert plan(network={"colour": "luminance"}).chroma == ()


def test_a_painting_can_be_what_optimisation_starts_from() -> None:
    found = plan({"method": "optimise", "start": "feedforward"})
    assert not found.is_painted
    assert [level.level_px for level in found.levels] == [256, 512]
    assert found.painting is not None
    assert found.painting.level_px == 256
    assert found.painting.content == found.levels[0].content
    assert set(found.weights) == {"vgg16"}
    assert found.excerpt(256).settings.start == "feedforward"


def test_a_start_has_the_heaviest_style_that_its_network_knows() -> None:
    styles = [
        {"image": "f.png", "weight": 2},
        {"image": "c.png", "weight": 9},
        {"image": "w.png", "weight": 3},
    ]
    regions = [{**REGIONS[0], "style": None, "styles": styles}, REGIONS[1]]
    found = plan({"method": "optimise", "start": "feedforward", "regions": regions})
    assert found.painting is not None
    assert found.painting.channels == ("wide", "fine")
    assert found.warnings == (
        "config.yaml: artworks.a.regions.0.styles: the start is painted in w.png alone, the heaviest that "
        "the network knows: a network paints one style in each region",
    )
    unknown = [{**REGIONS[0], "style": None, "styles": [styles[1]] * 2}, REGIONS[1]]
    with pytest.raises(ConfigError, match=r"regions\.0\.style: expected a style of .*; found c.png, c.png"):
        plan({"method": "optimise", "start": "feedforward", "regions": unknown})


def test_the_jobs_of_a_painting() -> None:
    found = files()
    folder = "results/a/levels/512"
    assert found.level_results("a") == [f"{folder}/painted.tif"]
    assert found.level_records("a") == [f"{folder}/painted.json"]
    assert found.starts("a") == found.start_records("a") == []
    (key,) = found.collection.networks
    network = f"results/shared/trained/{key}.safetensors"
    inputs = found.apply_inputs("a")
    assert (inputs["network"], inputs["guides"]) == (network, [f"{folder}/guides.tif"])
    words = shlex.split(found.apply_options("a"))
    # The level's content was written by a stage.
    assert words[0] == "--prepared"
    assert words[words.index("--channels") :] == ["--channels", "wide", "fine"]
    assert words[words.index("--memory-budget-mib") + 1] == "3396"
    assert found.shared.networks.exported(key) == [f"results/shared/networks/{key}.safetensors"]
    assert f"results/shared/networks/{key}.safetensors" in found.finished("a")
    assert found.shared.train_inputs(key) == {
        "photographs": ["p1.png", "folder"],
        "styles": ["f.png", "w.png"],
        "weights": "resources/weights/vgg16.safetensors",
    }
    assert found.artwork_weights("a") == []
    assert "vgg16" in found.collection.weights
    styles = [found.collection.sources[Path(file).stem] for file in found.top_styles("a")]
    assert [str(path) for path in styles] == ["w.png", "f.png"]


def test_a_painting_is_judged_by_what_its_network_learnt() -> None:
    found = files(
        {"quality": {"limits": {"style_distance": 0.3}}},
        {"network": "vgg19", "style_px": 192},
        weights={"vgg19": {"path": __file__}},
    )
    assert found.assessed("a") == "results/a/quality.json"
    assert found.judged("a") == ["results/a/quality.passed"]
    inputs = found.assess_inputs("a")
    assert inputs["weights"] == "resources/weights/vgg19.safetensors"
    task = json.loads(found.assess_task("a"))
    (level,) = task["levels"]
    assert (level["painted"], level["record"]) == (True, "results/a/levels/512/painted.json")
    styles = [style for region in level["regions"] for style in region["styles"]]
    assert [style["area_px"] for style in styles] == [192, 192]
    assert [style["image"] for style in styles] == inputs["styles"] == found.top_styles("a")


def test_every_option_of_a_training_is_handed_on() -> None:
    found = files(
        network={"mask": "varied", "balance": "styles", "size_px": 96, "patience": 2, "licence": "CC0"}
    )
    (key,) = found.collection.networks
    words = shlex.split(found.shared.networks.train_options(key))
    told = dict(zip(words[4::2], words[5::2], strict=True))
    assert words[:4] == ["--style", "fine=f.png", "--style", "wide=w.png"]
    assert (told["--training-mask"], told["--balance"], told["--size-px"]) == ("varied", "styles", "96")
    assert (told["--patience"], told["--network"]) == ("2", "vgg16")
    assert (told["--threads"], told["--device"], told["--precision"]) == ("2", "auto", "auto")
    many = files(compute={"threads": 12})
    (key,) = many.collection.networks
    words = shlex.split(many.shared.networks.train_options(key))
    assert words[words.index("--threads") + 1] == words[words.index("--workers") + 1] == "12"


def test_the_jobs_of_a_start() -> None:
    found = files({"method": "optimise", "start": "feedforward"})
    assert found.starts("a") == ["results/a/levels/256/painted.tif"]
    assert found.start_records("a") == ["results/a/levels/256/painted.json"]
    assert found.level_results("a")[0] == "results/a/levels/256/stylised.tif"
    assert found.artwork_weights("a") == ["resources/weights/vgg16.safetensors"]
    assert files({"method": "optimise"}).starts("a") == []


@pytest.mark.parametrize(
    ("regions", "luma", "words"),
    [
        (
            [{**region, "colour": {"mode": "luminance"}} for region in REGIONS],
            (),
            ["--colour", "luma"],
        ),
        (
            [{**REGIONS[0], "colour": {"mode": "luminance"}}, REGIONS[1]],
            (Area(file=Path("m.png")),),
            ["--colour", "luma", "--luminance-mask", "m.png"],
        ),
        (REGIONS, None, ["--channels", "wide", "fine"]),
    ],
)
def test_a_start_in_luma_is_painted_from_colours(
    regions: list[Any], luma: tuple[Area, ...] | None, words: list[str]
) -> None:
    found = files({"method": "optimise", "start": "feedforward", "regions": regions})
    plan = found.collection.plans["a"]
    assert plan.painting is not None
    assert plan.images[plan.painting.content].recolourings == ()
    assert {how.mode for how in plan.images[plan.levels[0].content].recolourings} == (
        set() if luma is None else {"luma"}
    )
    assert plan.painting.luma == luma
    assert shlex.split(found.apply_options("a"))[-len(words) :] == words
    assert found.apply_inputs("a")["masks"] == [area.file.as_posix() for area in luma or () if area.file]


def test_photographs_in_folders_are_watched_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (below := Path("folder/below")).mkdir(parents=True)
    (one := Path("folder/one.png")).write_bytes(b"1")

    def state() -> str:
        found = files()
        (key,) = found.collection.networks
        assert found.shared.train_inputs(key)["photographs"] == ["p1.png"]
        assert found.shared.train_folders(key) == ["folder"]
        return found.shared.photographs_state(key)

    first = state()
    for name in ("Thumbs.db", ".hidden.png", "one.xmp"):
        Path("folder", name).touch()
    assert state() == first
    (below / "two.JPG").touch()
    second = state()
    one.write_bytes(b"22")
    assert len({first, second, state()}) == 3


def test_a_training_is_named_by_what_it_depends_on() -> None:
    (first,), (again,), (other,) = (
        files(network=network).collection.networks for network in ({}, {"seed": 0}, {"seed": 1})
    )
    assert first == again != other
    # What is said of it is no reason to train another.
    (licensed,) = files(network={"licence": "CC0"}).collection.networks
    assert licensed == first
    assert re.fullmatch("two-[0-9a-f]{12}", first)


def test_a_network_of_the_users_needs_no_training(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    file.touch()
    found = files(network={"photographs": None, "file": str(file)})
    assert found.apply_inputs("a")["network"] == file.as_posix()
    assert not any("/networks/" in name for name in found.finished("a"))
    # Nothing but its card says what it has learnt.
    assert found.apply_inputs("a")["styles"] == ["f.png", "w.png"]
    assert shlex.split(found.apply_options("a"))[-4:] == ["--style", "fine=f.png", "--style", "wide=w.png"]
    assert files().apply_inputs("a")["styles"] == []
    assert "--style" not in files().apply_options("a")
    # What paints is the user's; what judges it is fetched.
    assert set(found.collection.weights) == {"vgg16"}
    assert found.artwork_weights("a") == []


def test_one_style_needs_no_guides() -> None:
    network = {"styles": {"fine": "f.png"}}
    found = files({"regions": None, "style": "f.png"}, network)
    assert found.apply_inputs("a")["guides"] == []
    assert "--channels" not in found.apply_options("a")


def test_a_training_asks_for_what_its_batches_take() -> None:
    small, large = (JobResources(files(network={"size_px": side}).collection) for side in (64, 256))
    (a,), (b,) = small.collection.networks, large.collection.networks
    assert 1700 < small.train(a).mib < large.train(b).mib
    assert small.train(a).minutes < large.train(b).minutes
    # 40,000 times 4 crops of 256 px: 80 s a megapixel on a processor, 4 s on a GPU.
    assert large.train(b).minutes == 10 + 700
    on_processor = JobResources(files(compute={"device": "cpu"}).collection)
    (c,) = on_processor.collection.networks
    assert on_processor.train(c).minutes == 10 + 13_981


def test_a_training_asks_for_room_for_its_validations_pictures() -> None:
    often, seldom = (
        JobResources(files(network={"validate_every": every}).collection) for every in (500, 40_000)
    )
    (a,), (b,) = often.collection.networks, seldom.collection.networks
    # 80 and one, of 8 by 2 crops of 256 px; once with the state, and once where they are looked at.
    assert (often.train(a).disk_mib, seldom.train(b).disk_mib) == (64 + 2 * 240, 64 + 2 * 3)


def test_a_painting_asks_for_its_computing_and_for_its_files() -> None:
    # 268 megapixels, of 8 s each on a processor of two threads; on a GPU of a twentieth of one thread's 12 s,
    # and 1 s to read and write.
    minutes = [
        JobResources(files({"levels": [16384]}, compute={"device": device}).collection).apply("a").minutes
        for device in ("cpu", "auto")
    ]
    assert minutes == [10 + 36, 10 + 3 + 5]


def test_a_training_asks_for_what_its_styles_take() -> None:
    small, large = (JobResources(files(network={"style_px": side}).collection) for side in (256, 8192))
    (a,), (b,) = small.collection.networks, large.collection.networks
    # Two styles and two copies, of 12 bytes a pixel.
    assert large.train(b).mib - small.train(a).mib == 4 * 12 * (8192**2 - 256**2) // 2**20


def test_a_painting_asks_for_the_time_of_its_network_and_threads(tmp_path: Path) -> None:
    def minutes(network: Mapping[str, Any], threads: int, device: str = "cpu") -> int:
        compute = {"threads": threads, "device": device}
        (level,) = plan({"levels": [16384]}, network, compute=compute).levels
        return level.runtime_min

    file = tmp_path / "mine.safetensors"
    file.touch()
    # 268 megapixels, twice 6 s each of one thread; the others do half as much each.
    narrow = 268.4 * 2 * 6 * 44_928 / 45_000 / 60
    assert minutes({}, threads=4, device="cuda") == minutes({}, threads=1)
    assert minutes({"upsampling": "nearest"}, threads=1) == pytest.approx(10 + narrow, abs=1)
    assert minutes({}, threads=2) == pytest.approx(10 + narrow / 1.5, abs=1)
    assert minutes({}, threads=4) == pytest.approx(10 + narrow / 2.5, abs=1)
    wide = minutes({"architecture": "wide"}, threads=1)
    assert wide == pytest.approx(10 + narrow * 3.5, rel=0.05)
    # A file is not opened before the work: it may hold a wide one.
    assert minutes({"photographs": None, "file": str(file)}, threads=1) == wide


def test_artworks_on_demand_are_left_out() -> None:
    raw = config()
    raw["artworks"]["b"] = {**raw["artworks"]["a"], "on_demand": True}
    found = resolve_collection(raw, size_of)
    assert found.artworks(on_demand=False) == ["a"]
    assert found.artworks(on_demand=True) == ["b"]
    found = dataclasses.replace(found, refused={"a": "this", "b": "that"})
    assert (found.refusals(on_demand=False), found.refusals(on_demand=True)) == ({"a": "this"}, {"b": "that"})


def test_an_artwork_depends_on_its_own_network_alone() -> None:
    raw = config()
    raw["networks"]["other"] = {**NETWORK, "seed": 3}
    raw["artworks"]["b"] = {"content": "c.png", "style": "f.png"}
    parsed = parse(raw)
    assert list(for_artwork(parsed, "a")["networks"]) == ["two"]
    assert for_artwork(parsed, "b")["networks"] == {}


@pytest.mark.parametrize(
    ("own", "network", "said"),
    [
        ({"feedforward": None}, {}, "a.feedforward.network: expected one of the networks two; found none"),
        ({"feedforward": {"network": "x"}}, {}, "expected one of the networks two; found x"),
        (
            {"regions": [REGIONS[0], {"where": "not m.png", "style": "c.png"}]},
            {},
            "a.regions.1.style: expected a style of the network (f.png, w.png); found c.png",
        ),
        ({"regions": None, "style": "f.png"}, {}, "expected regions of two styles at least"),
        (
            {},
            {"styles": {"fine": "f.png"}},
            "a.regions.0.style: expected a style of the network (f.png); found w.png",
        ),
        (
            {"regions": [{**region, "style": "f.png"} for region in REGIONS]},
            {"styles": {"fine": "f.png"}},
            "expected everything, for a network of one style",
        ),
        (
            {"regions": [REGIONS[0], {**REGIONS[1], "style": None, "styles": [{"image": "f.png"}] * 2}]},
            {},
            "a.regions.1.styles: expected one style for method feedforward; found 2",
        ),
        (
            {"regions": [REGIONS[0], {**REGIONS[1], "style": {"image": "f.png", "scale": 2}}]},
            {},
            "a.regions.1.style: expected an image alone for method feedforward",
        ),
        (
            {"regions": [REGIONS[0], {**REGIONS[1], "colour": {"mode": "luminance"}}]},
            {},
            "a.regions.1.colour: expected none for method feedforward; found luminance",
        ),
        ({"colour": {"mode": "style_to_content"}}, {}, "a.colour.mode: expected none or luminance"),
    ],
)
def test_what_a_network_cannot_paint_is_refused(
    own: Mapping[str, Any], network: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        plan(own, network)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (
            {"photographs": None},
            "networks.two must have photographs to be trained on, or a file; found neither",
        ),
        ({"file": "x"}, "networks.two must have photographs to be trained on, or a file; found both"),
        ({"styles": {}}, "networks.two.styles: expected at least one entry"),
        ({"styles": {"a": "f.png", "b": "f.png"}}, "must have different style images; found f.png twice"),
        ({"styles": {"a b": "f.png"}}, "a name of letters, digits, _ and -"),
        ({"size_px": 40}, "networks.two.size_px"),
        ({"iteration": 4}, "Perhaps iterations was meant"),
        ({"mask": "square"}, "networks.two.mask"),
        ({"network": "vgg19_oxford"}, "weights.vgg19_oxford: expected its path, or its url and sha256"),
    ],
)
def test_networks_that_cannot_be_are_refused(network: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        plan(network=network)


def test_files_that_are_not_there_are_told() -> None:
    with pytest.raises(InputError, match=r"networks\.two\.styles\.wide: gone\.png: expected an image file"):
        plan(network={"styles": {"fine": "f.png", "wide": "gone.png"}})
    with pytest.raises(InputError, match=r"networks\.two\.photographs\.1: gone\.png: expected an image file"):
        plan(network={"photographs": ["p1.png", "gone.png"]})
    with pytest.raises(InputError, match=r"networks\.two\.file: expected a trained network; found none at x"):
        plan(network={"photographs": None, "file": "x"})


def test_photographs_that_cannot_be_trained_on_are_told(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"photographs\.0: p1\.png: expected sides of at least 512 px; found 400x600"
    ):
        plan(network={"size_px": 512})
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"photographs\.0: expected a folder with photographs; found none"):
        plan(network={"photographs": [str(tmp_path)]})


def test_what_is_made_anew_is_no_file_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have the name of what a rule makes, of another network."""
    monkeypatch.chdir(tmp_path)
    Path("results/shared/networks").mkdir(parents=True)
    file = Path("results/shared/networks/two-0123456789ab.safetensors")
    file.touch()
    for name in (file, tmp_path / file):
        with pytest.raises(
            InputError, match=r"two\.file: expected a network that lies outside of results; found .*Copy it"
        ):
            plan(network={"photographs": None, "file": str(name)})


HUGE = {"levels": [16384]}
THUMBNAIL = {"feedforward": {"network": "two", "moments": "thumbnail"}}


def test_a_thumbnails_layers_are_those_that_are_held() -> None:
    """By default 3396 MiB are for tiles and held layers; the huge level's would be 12 GiB."""
    exact, by_thumbnail = (plan({**HUGE, **own}) for own in ({}, THUMBNAIL))
    assert exact.levels[0].store == "files"
    # Three layers of 64 channels of 4 bytes at 3376x5040 positions.
    assert exact.levels[0].disk_mib == 12463
    assert by_thumbnail.levels[0].store == "memory"
    # The thumbnail and its two guides: five floats for each of 836x1254 px, in whole tiles of 256 px.
    assert by_thumbnail.levels[0].disk_mib == 25
    assert exact.disk_mib > by_thumbnail.disk_mib
    assert by_thumbnail.levels[0].memory_mib <= 4096
    # In bfloat16 a level whose layers take more than half of the room in float32 may be held in memory.
    between = plan({"levels": [8192]}, compute={"memory_budget_mib": 4096}).levels[0]
    # Of 6689x10033 px: 1696x2544 positions, and 1696x2528 of the two layers behind them.
    assert (between.store, between.disk_mib) == ("files", 3147)
    assert between.memory_mib > 700 + 3396 / 2 + 1096 * 1216**2 / 2**20 - 1
    # An image no larger than the thumbnail is painted with its own moments.
    small, own = (plan({"levels": [1024], **own}).levels[0] for own in (THUMBNAIL, {}))
    assert small == own


@pytest.mark.parametrize("budget_mib", [764, 900, 4096])
def test_pieces_that_start_from_the_picture_fit_the_budget(budget_mib: int) -> None:
    found = plan({**HUGE, **THUMBNAIL}, compute={"memory_budget_mib": budget_mib})
    assert 700 < found.levels[0].memory_mib <= budget_mib


def test_a_copy_of_what_gives_luma_alone_is_on_the_disk_meanwhile() -> None:
    colours, luma = (plan(network=network) for network in ({}, {"colour": "luminance"}))
    # 12 bytes for each of 418x627 px, in whole tiles of 256 px.
    assert (colours.levels[0].disk_mib, luma.levels[0].disk_mib) == (0, 5)
    assert luma.levels[0].store == "memory"
    needs = [JobResources(files(network=network).collection) for network in ({}, {"colour": "luminance"})]
    assert [need.apply("a").disk_mib for need in needs] == [5, 10]


def test_what_a_start_is_painted_from_is_on_the_disk_too() -> None:
    found = plan({"method": "optimise", "start": "feedforward"})
    assert found.painting is not None
    painting = found.painting.model_copy(update={"disk_mib": 10_000})
    assert found.disk_mib < 10_000
    assert disk_use(found.model_copy(update={"painting": painting}), size_of).most_mib > 10_000


def test_what_brings_chroma_back_is_on_the_disk_while_the_image_is_assembled() -> None:
    found = plan({"preview_px": 64, "deepzoom": "none", "colour": {"mode": "luminance"}})
    assert found.chroma == ()
    # The assembled image, chroma and both together; a print of four bands with its smaller copies stays.
    gone, printed, pictures = 40 * 512 * 768, 4 * 512 * 768 * 4 // 3, 3 * 64**2 * 3
    assert found.disk_mib - found.kept_mib == pytest.approx((gone - printed - pictures) / 2**20, abs=1.01)


def test_a_budget_that_is_too_small_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"compute\.memory_budget_mib: expected 764 at least for level 512"):
        plan(compute={"memory_budget_mib": 600})
