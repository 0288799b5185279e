from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from pictures import gradient, save
from running import Impasto
from tiny_artwork import HIGHEST, Artwork, Rendered

ARTWORK = Path("results") / "halves"


@pytest.fixture(scope="module")
def made(
    artwork: Artwork,
    vgg19: Path,
    stylised: Rendered,
    refined: Rendered,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with an artwork's results, as the stages write them."""
    root = tmp_path_factory.mktemp("collection")
    shutil.copytree(artwork.folder, root, dirs_exist_ok=True)
    impasto = Impasto(root)
    folder = root / ARTWORK
    for name, record in (("64", stylised.record), ("80", refined.record)):
        (folder / "levels" / name).mkdir(parents=True)
        shutil.copy(record, folder / "levels" / name)
    shutil.copy(artwork.folder / "plan.json", folder)
    result = save(root / "result.png", gradient(*HIGHEST))
    words = ["--plan", folder / "plan.json", "--records", stylised.record, refined.record, "--weights", vgg19]
    impasto.works("export-print", result, *words, "--output", folder / "print.tif")
    impasto.works("record", folder / "print.tif", *words, "--output", folder / "provenance.json")
    level = artwork.plan.levels[1]
    style = artwork.plan.targets[level.regions[0].targets[0].target].image
    words = ["--plan", folder / "plan.json", "--content", "content.png", "--styles", artwork.image(style)]
    words += ["--levels", result, result, "--guides", artwork.guides(level)]
    impasto.works("preview", result, *words, "--output", folder / "p.png", "--pictures", folder / "pictures")
    return root


@pytest.fixture
def results(made: Path, impasto: Impasto) -> Path:
    """A copy of it, in the test's own folder."""
    shutil.copytree(made / ARTWORK, impasto.folder / ARTWORK)
    return impasto.folder / ARTWORK


def test_one_page_holds_everything(impasto: Impasto, results: Path) -> None:
    words = ["--title", "Two <halves>", "--output", "report.html"]
    imported, done = impasto.imports("report", results.relative_to(impasto.folder), *words)
    assert done.said == ["report.html: 1 artworks"]
    assert not imported & {"torch", "torchvision"}
    whole = (impasto.folder / "report.html").read_text(encoding="utf-8")
    page = (impasto.folder / "report" / "halves.html").read_text(encoding="utf-8")
    assert "<title>Two &lt;halves&gt;" in whole
    # Result, content, style, two masks: each where the page says.
    pictures = set(re.findall(r'src="([^"]+\.(?:jpg|png))"', page))
    assert len(pictures) == 5
    assert all((impasto.folder / "report" / picture).is_file() for picture in pictures)
    for word in ("halves", "89", "72", "Simonyan", "BSD-3-Clause"):
        assert word in whole, word
    for word in ("left", "right", "<svg"):
        assert word in page, word
    assert str(impasto.folder) not in whole + page
    # Settings that an artwork leaves open are in its provenance alone.
    assert "  levels: [64, 80]\n" in page
    assert "content_weight" not in page[page.index("<pre") : page.index("</pre>")]
    # The two masks are the halves of the picture, with the same soft edge.
    assert "In no region: 0\u202f% of the picture. In more than one: 0\u202f%." in page


@pytest.mark.parametrize(
    ("file", "contents", "said"),
    [
        ("plan.json", "no plan", "results/halves/plan.json: expected a plan made by this version of "),
        (
            "provenance.json",
            None,
            "results/halves/provenance.json: expected a provenance record; found no such",
        ),
        (
            "provenance.json",
            "{",
            "results/halves/provenance.json: expected a provenance record; found no JSON",
        ),
        ("levels/80/refined.json", None, "results/halves/levels/80/refined.json: expected a record made by"),
        ("pictures/result.jpg", None, "results/halves/pictures/result.jpg: expected "),
        ("pictures/mask-left.png", "no mask", "results/halves/pictures/mask-left.png: expected an image ("),
    ],
)
def test_what_a_stage_should_have_written_is_told_in_one_line(
    impasto: Impasto, results: Path, file: str, contents: str | None, said: str
) -> None:
    (results / file).unlink()
    if contents is not None:
        (results / file).write_text(contents)
    line = impasto.refuses("report", results.relative_to(impasto.folder), "--output", "report.html")
    assert line.startswith(said)


def test_a_folder_that_is_none_is_told_in_one_line(impasto: Impasto) -> None:
    line = impasto.refuses("report", "results/nobody", "--output", "report.html")
    assert line.startswith("results/nobody/plan.json: expected a plan made by `impasto plan`; found no such")


def test_a_page_without_a_suffix_would_be_its_own_folder(impasto: Impasto, results: Path) -> None:
    line = impasto.refuses("report", results.relative_to(impasto.folder), "--output", "report")
    assert line == "--output: expected a file's name with its suffix, .html or .htm; found report."


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (
            "results/halves.html",
            "results/halves: expected nothing but a report's pages, which halves.html puts there; found a "
            "folder with levels in it. Give the page another name.",
        ),
        (
            "results.html",
            "results: expected nothing but a report's pages, which results.html puts there; found a folder "
            "with halves in it. Give the page another name.",
        ),
        (
            "results/halves/print.tif",
            "--output: expected a file's name with its suffix, .html or .htm; found "
            "results/halves/print.tif.",
        ),
    ],
)
def test_a_report_does_not_take_the_place_of_results(
    impasto: Impasto, results: Path, output: str, line: str
) -> None:
    before = sorted(impasto.folder.rglob("*"))
    assert impasto.refuses("report", results.relative_to(impasto.folder), "--output", output) == line
    assert sorted(impasto.folder.rglob("*")) == before


def test_a_browsers_hidden_folder_beside_the_pages_is_no_stranger(impasto: Impasto, results: Path) -> None:
    words = [results.relative_to(impasto.folder), "--output", "report.html"]
    impasto.works("report", *words)
    (impasto.folder / "report" / ".thumbnails").mkdir()
    impasto.works("report", *words)


def test_a_viewer_that_could_not_be_fetched_is_none(impasto: Impasto, results: Path) -> None:
    (impasto.folder / "viewer.js").write_text("// OpenSeadragon is not here: no network.\n")
    words = ["--viewer", "viewer.js", "--output", "report.html"]
    impasto.works("report", results.relative_to(impasto.folder), *words)
    page = (impasto.folder / "report" / "halves.html").read_text(encoding="utf-8")
    assert "put OpenSeadragon in its place" in page
