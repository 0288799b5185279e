"""The whole workflow on tiny images: what it makes, from wherever it is started."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import pyvips
from running import snapshot
from workflows import CONFIG, EVERYTHING, RenderedCollection

from pipeline import canvas
from pipeline.colour import rgb_to_yiq
from pipeline.geometry import Size

pytestmark = pytest.mark.slow


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
    made = rendered.checkout.renders(*words, cwd=tmp_path)
    assert {job for job in made if "artwork=" in job} == {job for job in EVERYTHING if "artwork=scene" in job}
    assert [path.name for path in tmp_path.iterdir()] == ["studio"]
    ours, theirs = studio / "results" / "scene", rendered.results / "scene"
    first, second = (pyvips.Image.tiffload(str(folder / "print.tif")) for folder in (ours, theirs))
    assert (first.numpy() == second.numpy()).all()
    assert (canvas.read(ours / "preview.png") == canvas.read(theirs / "preview.png")).all()

    # A new title is one job, and then there is nothing to do.
    (studio / "mine.yaml").write_text(json.dumps({**config, "title": "Another"}))
    assert rendered.checkout.renders(*words, cwd=tmp_path) == {"report"}
    assert "<title>Another" in (studio / "results" / "report.html").read_text(encoding="utf-8")
    assert rendered.checkout.would_render(*words) == set()
