"""The whole workflow on tiny images: what it makes, from wherever it is started, and what after a change.

One rendering serves all tests here, which is why they share a file.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import pyvips
from moto.server import ThreadedMotoServer
from pictures import noise, save
from running import REPOSITORY, run, run_warm, snapshot
from workflows import (
    CONFIG,
    CONTENTS,
    EVERYTHING,
    GUIDES,
    HALVES,
    SCENE,
    SOCKETS,
    STYLES,
    Checkout,
    RenderedCollection,
    config_with,
    jobs,
    jobs_of_levels,
)

from pipeline import canvas
from pipeline.colour import rgb_to_yiq
from pipeline.geometry import Size

pytestmark = pytest.mark.slow

KEYS = {"ACCESS_KEY": "mine", "SECRET_KEY": "secret"}


@pytest.fixture(scope="module")
def rendered(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> RenderedCollection:
    """The collection, rendered from nothing; a test that changes a thing changes it back."""
    checkout = Checkout.make(tmp_path_factory.mktemp("checkout"))
    shutil.copytree(inputs, checkout.folder / "inputs")
    checkout.configure(CONFIG)
    return RenderedCollection.render(checkout)


# -- what it makes ---------------------------------------------------------------------------------


def test_the_dry_run_told_the_truth(rendered: RenderedCollection) -> None:
    assert rendered.made == rendered.promised == EVERYTHING


def test_jobs_are_chosen_when_one_has_ended_and_not_all_the_time(rendered: RenderedCollection) -> None:
    assert 0 < rendered.rounds < 2 * len(rendered.made)


def test_every_artwork_has_its_files(rendered: RenderedCollection) -> None:
    sizes = {"halves": Size(89, 72), "scene": Size(71, 91)}
    for name, size in sizes.items():
        folder = rendered.results / name
        tiff = pyvips.Image.tiffload(str(folder / "print.tif"))
        assert (tiff.height, tiff.width, tiff.bands) == (size.height, size.width, 3)
        assert tiff.xres == pytest.approx(300 / 25.4)
        assert np.asarray(tiff.numpy()).std(axis=(0, 1)).min() > 5
        assert canvas.size_of(folder / "preview.png") == size
        record = json.loads((folder / "provenance.json").read_text())
        assert [level["level_px"] for level in record["levels"]] == [64, 80]
        assert all(level["loss_last"] < level["loss_first"] for level in record["levels"])
        assert json.loads((folder / "plan.json").read_text())["artwork"] == name
    page = (rendered.results / "report.html").read_text(encoding="utf-8")
    assert "<title>Tiny" in page
    assert all(name in page for name in sizes)
    # What was needed on the way alone is gone, and nothing is half-made.
    left = {path.name for path in rendered.results.rglob("*")}
    assert not left & {"assembled.tif", "start.tif"}
    assert {name for name in left if name.startswith(".")} == {".in-use", ".snakemake_timestamp"}


def test_each_region_is_painted_in_its_own_style(rendered: RenderedCollection) -> None:
    guides = canvas.read(rendered.results / "halves" / "levels" / "80" / "guides.tif")
    assert guides.shape == (89, 72, 2)
    assert guides.sum(axis=2) == pytest.approx(1, abs=2 / 65535)
    record = json.loads((rendered.results / "halves" / "levels" / "64" / "stylised.json").read_text())
    terms = record["trace"][0]["terms"]
    assert sum("left" in name for name in terms) == sum("right" in name for name in terms) == 5


def test_luminance_keeps_the_photographs_colours(rendered: RenderedCollection) -> None:
    printed = pyvips.Image.tiffload(str(rendered.results / "scene" / "print.tif")).numpy() / 255
    content = canvas.read(rendered.results / "scene" / "pictures" / "content.jpg")
    # The means are the same but for rounding and for what left [0, 1].
    chroma = (printed @ rgb_to_yiq().T)[..., 1:].mean(axis=(0, 1))
    assert chroma == pytest.approx((content @ rgb_to_yiq().T)[..., 1:].mean(axis=(0, 1)), abs=0.01)


def test_a_second_run_has_nothing_to_do(rendered: RenderedCollection) -> None:
    before = snapshot(rendered.results)
    done = rendered.checkout.snakemake("--cores", 2)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr
    assert snapshot(rendered.results) == before


def test_another_folder_and_configuration_give_the_same_pixels(
    rendered: RenderedCollection, tmp_path: Path
) -> None:
    """Started from a third folder, with the Snakefile, the folder and the configuration named."""
    studio = tmp_path / "studio"
    studio.mkdir()
    (studio / "inputs").symlink_to(rendered.checkout.folder / "inputs")
    config = copy.deepcopy(CONFIG)
    del config["artworks"]["halves"]
    (studio / "mine.yaml").write_text(json.dumps({**config, "title": "Mine"}))
    snakefile = rendered.checkout.folder / "Snakefile"
    words = ["-s", snakefile, "--directory", studio, "--configfile", studio / "mine.yaml"]
    files = [f"results/scene/{name}" for name in ("print.tif", "preview.png")]
    made = Checkout(rendered.checkout.folder, warm=True).renders(*files, *words, cwd=tmp_path)
    # Neither figures nor a record were asked for.
    scene = {job for job in EVERYTHING if "artwork=scene" in job}
    scene -= {f"{rule} artwork=scene" for rule in ("assess", "record")}
    assert {job for job in made if "artwork=" in job} == scene
    assert [path.name for path in tmp_path.iterdir()] == ["studio"]
    ours, theirs = studio / "results" / "scene", rendered.results / "scene"
    first, second = (pyvips.Image.tiffload(str(folder / "print.tif")) for folder in (ours, theirs))
    assert (first.numpy() == second.numpy()).all()
    assert (canvas.read(ours / "preview.png") == canvas.read(theirs / "preview.png")).all()
    assert rendered.checkout.would_render(*files, *words) == set()


# -- machines that compute need no network ---------------------------------------------------------


def test_no_command_of_a_collection_opens_a_connection(rendered: RenderedCollection) -> None:
    lines = (rendered.checkout.folder / SOCKETS).read_text(encoding="utf-8").splitlines()
    begun = {line.removeprefix("begins ") for line in lines if line.startswith("begins ")}
    assert begun >= {"prepare", "plan", "recolour", "guide", "targets", "stylise", "upsample", "refine"}
    assert begun >= {"assemble", "export-print", "preview", "report"}
    # The weights were given by path, so that not even fetch-weights needs it.
    assert [line for line in lines if not line.startswith("begins ")] == []


def test_a_connection_would_be_seen(tmp_path: Path) -> None:
    program = tmp_path / "impasto"
    program.write_text("import socket\nsocket.socket(socket.AF_UNIX)\nsocket.socket()\n")
    env = {"PYTHONPATH": str(REPOSITORY / "tests" / "watching"), "WATCHED_SOCKETS": str(tmp_path / "seen")}
    assert run([sys.executable, str(program), "--loud", "stylise"], tmp_path, env).returncode == 0
    assert (tmp_path / "seen").read_text() == "begins stylise\nsocket stylise\n"


# -- what is made again after a change: all that depends on it, and nothing else -------------------


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("title", "Another", {"report"}),
        ("artworks.halves.iterations", [2, 3], {"plan artwork=halves", *jobs_of_levels("halves", 80)}),
        ("artworks.halves.regions.1.weight", 2, {"plan artwork=halves", *HALVES}),
        ("artworks.halves.preview_px", 512, {"plan artwork=halves", *jobs_of_levels("halves")}),
    ],
)
def test_a_changed_setting(rendered: RenderedCollection, path: str, value: Any, expected: set[str]) -> None:
    with rendered.checkout.edited("config.yaml", config_with(path, value)):
        assert rendered.checkout.would_render() == expected


@pytest.mark.parametrize(
    ("name", "pixels", "expected"),
    [
        ("content.png", noise(100, 80, seed=9), {"prepare key=content", *CONTENTS, *HALVES}),
        ("style.png", noise(90, 90, seed=9), {"prepare key=style", *STYLES["style"], *HALVES, *SCENE}),
        ("other.png", noise(80, 96, seed=9) // 2, {"prepare key=other", *STYLES["other"], *HALVES}),
        ("left.png", 255 - noise(50, 40, seed=9)[..., :1], {*GUIDES, *HALVES}),
    ],
)
def test_a_changed_picture(
    rendered: RenderedCollection, tmp_path: Path, name: str, pixels: np.ndarray, expected: set[str]
) -> None:
    other = save(tmp_path / "other.png", pixels).read_bytes()
    with rendered.checkout.edited(f"inputs/{name}", other):
        assert rendered.checkout.would_render() == expected


@pytest.mark.parametrize(
    ("name", "pixels", "expected"),
    [
        ("content.png", noise(100, 80, seed=9), {"prepare key=content", *CONTENTS, *HALVES}),
        (
            "content.png",
            noise(80, 100, seed=9),
            {
                *("prepare key=content", "recolour key=content-57x72", "recolour key=content-72x89"),
                *("plan artwork=halves", *GUIDES, *HALVES),
            },
        ),
        ("left.png", 255 - noise(50, 40, seed=9)[..., :1], {*GUIDES, *HALVES}),
    ],
)
def test_a_picture_replaced_by_an_older_one(
    rendered: RenderedCollection, tmp_path: Path, name: str, pixels: np.ndarray, expected: set[str]
) -> None:
    other = save(tmp_path / "other.png", pixels).read_bytes()
    with rendered.checkout.edited(f"inputs/{name}", other):
        os.utime(rendered.checkout.folder / "inputs" / name, (1, 1))
        assert rendered.checkout.would_render() == expected


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("pipeline/reporting/report.css", {"report"}),
        ("pipeline/losses.py", HALVES | SCENE),
        ("pipeline/commands/guide.py", GUIDES | HALVES),
        ("pipeline/segmentation/person.py", set()),
    ],
)
def test_a_changed_module(rendered: RenderedCollection, module: str, expected: set[str]) -> None:
    text = (rendered.checkout.folder / module).read_text(encoding="utf-8")
    comment = "/* changed */" if module.endswith(".css") else "# changed"
    with rendered.checkout.edited(module, f"{text}\n{comment}\n"):
        assert rendered.checkout.would_render() == expected


def test_a_moved_folder_changes_nothing(rendered: RenderedCollection, tmp_path: Path) -> None:
    home, away = rendered.checkout.folder, tmp_path / "moved away"
    home.rename(away)
    try:
        assert Checkout(away).would_render() == set()
    finally:
        away.rename(home)


def test_results_moved_alone_are_found_whole_where_the_configuration_says(
    rendered: RenderedCollection,
) -> None:
    checkout = rendered.checkout
    moved = checkout.folder / "moved results"
    rendered.results.rename(moved)
    try:
        with checkout.edited("config.yaml", config_with("results_dir", moved.name)):
            assert checkout.would_render() == set()
            records = [f"{moved.name}/{artwork}/provenance.json" for artwork in ("halves", "scene")]
            done = run_warm(["impasto", "verify", *records], checkout.folder, checkout.env)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("matches its record") == 2
        assert not rendered.results.exists()
    finally:
        moved.rename(rendered.results)


def test_another_version_makes_everything_again(rendered: RenderedCollection) -> None:
    with rendered.checkout.edited("pipeline/__init__.py", '__version__ = "99.0.0"\n'):
        assert rendered.checkout.would_render() == EVERYTHING


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            "titel",
            "Tiny",
            "config.yaml: titel: expected a known key; found an unknown key with value 'Tiny'.",
        ),
        ("defaults.levels", [80, 64], "config.yaml: defaults.levels must increase; found 64 after 80."),
    ],
)
def test_a_wrong_configuration_is_one_clear_message_and_no_work(
    rendered: RenderedCollection, path: str, value: Any, said: str
) -> None:
    before = snapshot(rendered.results)
    with rendered.checkout.edited("config.yaml", config_with(path, value)):
        done = rendered.checkout.snakemake("--cores", 2)
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert told.count(said) == 1
    assert "Traceback" not in told
    assert "Execute" not in told
    assert snapshot(rendered.results) == before


# -- delivered to object storage: a server of S3's protocol on this machine ------------------------


def test_finished_artworks_are_delivered_to_a_bucket_and_only_once(
    rendered: RenderedCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        settings = {**KEYS, "ENDPOINT_URL": address, "REGION": "eu-west-1"}
        for name, value in settings.items():
            monkeypatch.setenv(f"SNAKEMAKE_STORAGE_S3_{name}", value)
        store = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="eu-west-1",
            aws_access_key_id="mine",
            aws_secret_access_key="secret",
        )
        store.create_bucket(Bucket="prints", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        command = ["snakemake", "--cores", "2", "--config", "deliver_to=s3://prints/autumn"]
        checkout = rendered.checkout
        # Nothing can be copied there.
        node = tmp_path / "node.sh"
        node.write_text("[[ $BASH_EXECUTION_STRING != *storage* ]] || exit 1\n")
        done = run_warm(command, checkout.folder, {**checkout.env, "BASH_ENV": str(node)})
        assert done.returncode == 1
        (line,) = re.findall(r"^  Not delivered .+", done.stdout + done.stderr, re.MULTILINE)
        assert line == "  Not delivered though made: halves/pictures and 11 more (see above)."
        done = run_warm(command, checkout.folder, checkout.env)
        assert done.returncode == 0, done.stdout + done.stderr
        files = ["preview.png", "print.tif", "provenance.json", "quality.json"]
        names = {f"autumn/{artwork}/{file}" for artwork in ("halves", "scene") for file in files}
        # The report with all that it shows.
        folders = [rendered.results / folder for folder in ("halves/pictures", "scene/pictures", "report")]
        shown = [path.relative_to(rendered.results) for folder in folders for path in folder.iterdir()]
        names |= {f"autumn/{path}" for path in shown if not path.name.startswith(".")}
        assert {"autumn/halves/pictures/result.jpg", "autumn/report/scene.html"} <= names
        found = store.list_objects_v2(Bucket="prints")["Contents"]
        assert {entry["Key"] for entry in found} == names | {"autumn/report.html"}
        kept = store.get_object(Bucket="prints", Key="autumn/scene/print.tif")["Body"].read()
        assert kept == (rendered.results / "scene" / "print.tif").read_bytes()
        assert {job.split()[0] for job in jobs(done)} == {"deliver", "deliver_folder"}
        again = run_warm(command, checkout.folder, checkout.env)
        assert jobs(again) == set()
    finally:
        server.stop()
        for kind in ("logs", "benchmarks"):
            shutil.rmtree(rendered.results / kind / "deliver", ignore_errors=True)
