"""What a run leaves for a cluster's jobs: the whole collection's answers, of the artworks that they need."""

from __future__ import annotations

import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from two_artworks import RAW

from pipeline.collection import Collection, resolve_collection
from pipeline.errors import InputError, ResourceError
from pipeline.geometry import Size
from pipeline.handover import hand_over, handover_file, taken_over
from pipeline.job_files import JobFiles

FINE = {"image": "s.png", "fine": "t.png"}
ARTWORKS: dict[str, Any] = {
    **RAW["artworks"],
    "mixed": {
        "content": "m.png",
        "regions": [
            {"where": "in/m.png", "style": FINE},
            {"where": {"union": ["person", "in/n.png"]}, "style": "s.png", "name": "rest"},
        ],
        "print": {"width": "30 mm", "height": "30 mm"},
        "levels": "auto",
    },
    "parts": {
        "content": "p.png",
        "regions": {"automatic": 2, "styles": ["s.png", "t.png"]},
        "masks": {"sam": "vit_b"},
    },
    "gone": {"content": "gone.png", "style": "s.png", "preset": "figure_2"},
    "later": {"content": "gone.png", "style": "s.png", "on_demand": True},
    "painted": {
        "content": "q.png",
        "style": "s.png",
        "method": "feedforward",
        "feedforward": {"network": "n"},
    },
}
WHOLE: dict[str, Any] = {
    **RAW,
    "artworks": ARTWORKS,
    "networks": {"n": {"styles": {"s": "s.png"}, "photographs": ["c.png"], "size_px": 32}},
    "weights": {"sam_vit_b": {"url": "https://x.org/sam", "sha256": 64 * "0"}},
}


def size_of(path: Path) -> Size:
    if path.name == "gone.png":
        raise InputError(path, expected="an image file", found="none")
    return Size(200, 300)


@pytest.fixture(scope="module")
def whole() -> Collection:
    return resolve_collection(WHOLE, size_of)


@pytest.fixture(scope="module")
def file(whole: Collection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("run") / "collection.zip"
    hand_over(whole, file)
    return file


def words(*jobs: str) -> list[str]:
    """A command line as Snakemake starts a job with it."""
    return [
        "snakemake",
        "--snakefile",
        "Snakefile",
        "--target-jobs",
        *jobs,
        "--allowed-rules",
        "x",
        "--force",
    ]


def taken(file: Path, *jobs: str) -> Collection:
    found = taken_over(file, words(*jobs))
    assert found is not None
    return found


def test_a_job_has_the_artwork_that_it_is_for(whole: Collection, file: Path) -> None:
    found = taken(file, "stylise:artwork=one,level=128")
    assert list(found.plans) == list(found.config.artworks) == ["one"]
    assert found.plans["one"] == whole.plans["one"]
    assert found.config.artworks["one"] == whole.config.artworks["one"]
    assert (found.results, found.resources) == ("out/r", "res")
    aside = {"artworks"}
    assert found.config.model_dump_json(exclude=aside) == whole.config.model_dump_json(exclude=aside)
    # A group has several jobs.
    assert list(taken(file, "assemble:artwork=one", "preview:artwork=two").plans) == ["two", "one"]


def test_every_artwork_is_told_the_same_as_by_the_whole_collection(whole: Collection, file: Path) -> None:
    """What Snakemake keeps of a job: were it another, the job would be made again."""
    everything = JobFiles(whole)
    for name, plan in whole.plans.items():
        files = JobFiles(taken(file, f"plan:artwork={name}"))
        assert files.plan_settings(name) == everything.plan_settings(name)
        assert files.plan_sizes(name) == everything.plan_sizes(name)
        assert files.recorded(name) == everything.recorded(name)
        assert files.assess_task(name) == everything.assess_task(name)
        for level in plan.levels:
            if not plan.is_painted:
                assert files.level_plan(name, level.level_px) == everything.level_plan(name, level.level_px)


def test_every_shared_key_brings_the_artworks_that_know_it(whole: Collection, file: Path) -> None:
    kinds = {field.name for field in fields(Collection)} - {
        "config",
        "plans",
        "refused",
        "weights",
        "warnings",
    }
    for kind in kinds:
        of_kind = getattr(whole, kind)
        assert of_kind, kind
        for key, expected in of_kind.items():
            found = taken(file, f"rule:key={key}")
            assert getattr(found, kind)[key] == expected
            assert len(found.plans) < len(whole.plans)


@pytest.mark.parametrize(
    "jobs", [["report:"], ["plan:artwork=other"], ["recolour:key=other"], ["plan:artwork=one", "all:"], []]
)
def test_whatever_cannot_be_told_brings_all_artworks(whole: Collection, file: Path, jobs: list[str]) -> None:
    assert taken(file, *jobs) == whole


def test_an_artwork_that_cannot_be_made_keeps_its_line(whole: Collection, file: Path) -> None:
    found = taken(file, "plan:artwork=gone")
    line = "config.yaml: artworks.gone.content: gone.png: expected an image file; found none."
    assert (found.refused, dict(found.plans)) == ({"gone": line}, {})
    assert JobFiles(found).plan_sizes("gone") == line
    assert JobFiles(found).plan_settings("gone") == JobFiles(whole).plan_settings("gone")
    with pytest.raises(InputError, match=r"^config\.yaml: artworks\.gone\.content: gone\.png"):
        found.plans["gone"]
    assert list(taken(file, "plan:artwork=later").refusals(on_demand=True)) == ["later"]


def test_what_cannot_be_read_is_as_if_it_were_not_there(file: Path, tmp_path: Path) -> None:
    assert taken_over(tmp_path / "none.zip", words("report:")) is None
    half = tmp_path / "half.zip"
    half.write_bytes(file.read_bytes()[:-40])
    assert taken_over(half, words("report:")) is None
    bad = bytearray(file.read_bytes())
    bad[100:140] = bytes(40)
    (tmp_path / "bad.zip").write_bytes(bad)
    assert taken_over(tmp_path / "bad.zip", words("report:")) is None
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("collection.json", '{"config": {}, "weights": {}, "more": 1}')
    assert taken_over(tmp_path / "other.zip", words("report:")) is None


def test_runs_of_other_configurations_do_not_meet() -> None:
    names = [
        handover_file([], {}),
        handover_file([Path("/a/b.yaml")], {}),
        handover_file([Path("/a/c.yaml")], {}),
        handover_file([], {"results_dir": "r"}),
        handover_file([], {"results_dir": "q"}),
    ]
    assert len(set(names)) == 5
    assert {name.parent for name in names} == {Path(".snakemake")}
    assert handover_file([], {"b": 1, "a": 2}) == handover_file([], {"a": 2, "b": 1})


def test_a_folder_that_cannot_be_written_to_is_told(whole: Collection) -> None:
    with pytest.raises(ResourceError, match=r"^/proc/1/x: expected a folder with room .*; found "):
        hand_over(whole, Path("/proc/1/x/collection.zip"))
