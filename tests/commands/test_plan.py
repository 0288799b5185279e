from __future__ import annotations

import copy
import json
import re
import shutil
from typing import Any

import pytest
import yaml
from pictures import broken_pictures, gradient, save
from running import Impasto
from tiny_artwork import CONFIG, write_inputs

from pipeline.plan_table import LEGEND


def changed(path: str, value: Any) -> dict[str, Any]:
    """`CONFIG` with the value at a dotted path replaced; a list's items are numbered."""
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    node: Any = config
    for key in parents:
        node = node[int(key) if isinstance(node, list) else key]
    node[last] = value
    return config


def test_a_plan_holds_the_sizes_that_follow_from_the_content(impasto: Impasto) -> None:
    write_inputs(impasto.folder)
    imported, done = impasto.imports("plan", "--artwork", "halves", "--output", "plans/halves.json")
    assert done.printed == ""
    assert not imported & {"torch", "torchvision"}
    plan = json.loads((impasto.folder / "plans" / "halves.json").read_text())
    # 100x80 px: an area of 64^2 is 71.55 x 57.24, one of 80^2 is 89.44 x 71.55.
    assert [(level["height"], level["width"]) for level in plan["levels"]] == [(72, 57), (89, 72)]
    assert [level["iterations"] for level in plan["levels"]] == [3, 2]
    assert [region["label"] for region in plan["levels"][0]["regions"]] == ["left", "right"]
    assert plan["weights"] == {"vgg19": None}


def test_without_an_output_it_prints_a_table(impasto: Impasto) -> None:
    write_inputs(impasto.folder)
    imported, done = impasto.imports("plan")
    assert done.said == []
    assert not imported & {"torch", "torchvision"}
    title, header, lowest, highest, *rest = done.printed.splitlines()
    assert title == "halves: content.png"
    assert header.split()[:1] == ["level"]
    assert lowest.split()[:2] == ["64", "72x57"]
    assert highest.split()[:2] == ["80", "89x72"]
    assert [line for line in rest if line.startswith("  disk: at most ")]
    # Its last line: one artwork is not summed up.
    assert done.printed.splitlines()[-1] == LEGEND.splitlines()[-1]
    assert max(len(line) for line in done.printed.splitlines() if "  warning: " not in line) <= 100


def test_a_probe_estimates_the_time_and_says_what_from(impasto: Impasto) -> None:
    write_inputs(impasto.folder, changed("artworks.other", CONFIG["artworks"]["halves"]))
    done = impasto.works("plan", "--probe")
    _, header, lowest, highest, *rest = done.printed.partition("\n\n")[0].splitlines()
    assert header.split()[-1] == "time"
    assert lowest.split()[-1] == highest.split()[-1] == "s"
    (basis,) = [line for line in rest if line.startswith("  time: scaled by pixels")]
    # Neither size is as large as the piece that is measured of a larger one.
    assert basis.endswith("from 80x64 px, 96x80 px with random weights, which took")
    assert max(len(line) for line in done.printed.splitlines() if "  warning: " not in line) <= 100
    last = done.printed.splitlines()[-1]
    assert re.fullmatch(r"2 of 2 artworks can be made: .* stay; \d+ s to render", last)


def test_warnings_are_told_beside_the_file(impasto: Impasto) -> None:
    write_inputs(impasto.folder, changed("defaults.levels", [64, 200]))
    done = impasto.works("plan", "--artwork", "halves", "--output", "plan.json")
    plan = json.loads((impasto.folder / "plan.json").read_text())
    assert done.said == [f"warning: {warning}" for warning in plan["warnings"]]
    assert any("level 200 is 2.2 times as large as the content image" in line for line in done.said)
    assert done.printed == ""
    table = impasto.works("plan").printed
    assert all(f"  warning: {warning}\n" in table for warning in plan["warnings"])


def test_what_no_disk_of_this_machine_holds_is_refused_with_the_largest_that_would_fit(
    impasto: Impasto,
) -> None:
    # 8 TB.
    most = {"optimiser": {"history": 100, "history_precision": "float32"}, "iterations": 1000}
    write_inputs(impasto.folder, changed("defaults", {**most, "levels": [60_000]}))
    told = impasto.refuses("plan")
    assert told.startswith("results: expected a disk of ")
    assert " for level 60000 (67082x53666 px) of halves; found one of " in told
    (ending,) = re.findall(r"End at level (\d+) \(\d+x\d+ px\), the largest that fits\.", told)
    write_inputs(impasto.folder, changed("defaults", {**most, "levels": [int(ending)]}))
    impasto.works("plan")
    write_inputs(impasto.folder, changed("defaults", {**most, "levels": [int(ending) + 1]}))
    assert "results: expected a disk of " in impasto.refuses("plan")
    # A plan for another machine can be written all the same: it knows nothing of disks.
    impasto.works("plan", "--artwork", "halves", "--output", "plan.json")


def test_more_than_is_free_is_a_warning(impasto: Impasto) -> None:
    disk = shutil.disk_usage(impasto.folder)
    if disk.free > 0.9 * disk.total:
        pytest.skip("nearly all of the disk is free: no size lies between")
    write_inputs(impasto.folder, changed("defaults.levels", [10_000]))
    impasto.works("plan", "--artwork", "halves", "--output", "plan.json")
    bytes_per_px = json.loads((impasto.folder / "plan.json").read_text())["disk_mib"] * 2**20 / 10_000**2
    side_px = round(((disk.free + disk.total) / 2 / bytes_per_px) ** 0.5)
    write_inputs(impasto.folder, changed("defaults.levels", [side_px]))
    warned = re.compile(
        r"  warning: the files take up to .* at once, and .* are free on the disk of results, "
    )
    assert any(warned.match(line) for line in impasto.works("plan").printed.splitlines())


def test_bad_artworks_do_not_hide_the_plans_of_the_others(impasto: Impasto) -> None:
    good = CONFIG["artworks"]["halves"]
    gone = {**good, "content": "gone.png"}
    (impasto.folder / "z.csv").write_text("name,content,style\nz,lost.png,style.png\n")
    write_inputs(impasto.folder, {**CONFIG, "sheet": "z.csv", "artworks": {"a": gone, "halves": good}})
    done = impasto.run("plan")
    assert done.returncode == 2
    assert done.stdout.startswith("halves: content.png\n")
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(r"1 of 3 artworks can be made: 0\.01 MP in top levels; at most \S+ MiB stay", last)
    said = "expected an image file; found no such file."
    assert done.stderr.splitlines() == [
        f"impasto plan: z.csv: row 2, column content: lost.png: {said}",
        f"impasto plan: config.yaml: artworks.a.content: gone.png: {said}",
    ]


def test_images_that_a_combination_leaves_out_are_told(impasto: Impasto) -> None:
    write_inputs(impasto.folder, {**CONFIG, "combine": {"contents": "*", "styles": "style.png"}})
    (impasto.folder / "IMG_1.HEIC").touch()
    (line,) = impasto.works("plan").said
    assert line.startswith(
        "warning: config.yaml: combine: folders and patterns give .avif, .jpeg, .jpg, .png, "
    )
    assert line.endswith("; images of other kinds are left out: 1, the first IMG_1.HEIC")


def test_the_configuration_may_come_from_standard_input(impasto: Impasto) -> None:
    write_inputs(impasto.folder)
    (impasto.folder / "config.yaml").unlink()
    done = impasto.works("plan", "--config", "-", stdin=json.dumps(CONFIG))
    assert done.printed.startswith("halves: content.png\n")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            "defaults.iteration",
            3,
            "config.yaml: defaults.iteration: expected a known key; found an unknown key with value 3.",
        ),
        ("artworks.halves.colours", "none", "config.yaml: artworks.halves.colours: expected a known key;"),
        ("defaults.levels", [80, 64], "config.yaml: defaults.levels must increase; found 64 after 80."),
        ("artworks.halves.levels", [64, 64], "artworks.halves.levels must increase; found 64 after 64."),
        ("defaults.levels", [8], "config.yaml: defaults.levels"),
        ("artworks.halves.regions.0.where", "lefthalf.png", "lefthalf.png: expected an image file; found no"),
        (
            "artworks.halves.regions.0.where",
            "sky",
            "config.yaml: artworks.halves.regions.0.where must be everything, person, background, subj",
        ),
        ("artworks.halves.content", "nobody.png", "nobody.png: expected an image file; found no such file."),
        ("artworks.halves.content", "notes.jpg", "notes.jpg: expected an image (JPEG, PNG, TIFF, WebP, GIF"),
        ("artworks.halves.content", "dot.png", "dot.png: expected sides of at least 16 px; found 1x1 px"),
        ("artworks.halves.regions.1.style", "empty.png", "empty.png: expected an image file; found an empty"),
        ("artworks", {}, "config.yaml: artworks: expected "),
        ("artworks.halves", None, "config.yaml: artworks.halves: expected "),
        ("compute.threads", 0, "config.yaml: compute.threads: expected "),
    ],
)
def test_a_wrong_configuration_is_told_in_one_line(
    impasto: Impasto, path: str, value: Any, said: str
) -> None:
    write_inputs(impasto.folder, changed(path, value))
    broken_pictures(impasto.folder)
    save(impasto.folder / "dot.png", gradient(1, 1))
    assert said in impasto.refuses("plan", "--artwork", "halves", "--output", "plan.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "config.yaml: expected a configuration file; found no such file or directory."),
        (b"", "config.yaml: expected a mapping with `artworks`; found nothing."),
        (b"artworks: [unclosed", "config.yaml: expected valid YAML; found while parsing"),
        (b"\xff\xfe\x00", "config.yaml: expected a configuration file; found bytes that are no text."),
        (b"- a\n- b\n", "config.yaml: expected a mapping with `artworks`; found ['a', 'b']."),
        (b"artworks: !!python/object/apply:os.getcwd []", "config.yaml: expected valid YAML; found could"),
    ],
)
def test_what_is_no_configuration_is_told_in_one_line(
    impasto: Impasto, text: bytes | None, said: str
) -> None:
    if text is not None:
        (impasto.folder / "config.yaml").write_bytes(text)
    assert said in impasto.refuses("plan")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--artwork", "thirds"], "--artwork thirds: expected one of halves; found another name."),
        (["--output", "plan.json"], "--output: expected --artwork NAME beside it; found no artwork."),
        (
            ["--probe", "--output", "plan.json", "--artwork", "halves"],
            "--probe: expected a table to write estimates into; found --output beside it.",
        ),
        (["--config", "mine.yaml"], "mine.yaml: expected a configuration file; found no such file"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(impasto: Impasto, words: list[str], said: str) -> None:
    write_inputs(impasto.folder)
    assert said in impasto.refuses("plan", *words)


def test_yaml_from_standard_input_is_checked_too(impasto: Impasto) -> None:
    write_inputs(impasto.folder)
    text = yaml.safe_dump(changed("defaults.levels", [80, 64]))
    assert "must increase" in impasto.refuses("plan", "--config", "-", stdin=text)
