from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pictures import gradient, save
from running import Impasto
from tiny_artwork import HIGHEST, Artwork, Rendered

from pipeline import canvas


def words(vgg19: Path) -> list[Any]:
    return ["--weights", vgg19, "--device", "cpu", "--precision", "float32", "--threads", 1]


@pytest.fixture
def task(artwork: Artwork, stylised: Rendered, refined: Rendered) -> dict[str, Any]:
    """The tiny artwork's files; the right half has no style of its own, but the left's twice."""
    levels = []
    for level, rendered in zip(artwork.plan.levels, (stylised, refined), strict=True):
        target = artwork.plan.targets[level.regions[0].targets[0].target]
        style = {"image": str(artwork.image(target.image)), "mask": None, "weight": 2.0}
        regions = [{"label": region.label, "styles": [style]} for region in level.regions]
        regions[1]["styles"] = [style, style | {"weight": 1.0, "mask": str(artwork.folder / "left.png")}]
        files = {
            "content": artwork.image(level.content),
            "result": rendered.image,
            "record": rendered.record,
            "guides": artwork.guides(level),
        }
        levels.append(
            {"level_px": level.level_px, "regions": regions}
            | {name: str(file) for name, file in files.items()}
        )
    return {"artwork": "halves", "content": str(artwork.folder / "content.png"), "levels": levels}


def test_an_artwork_is_measured(
    impasto: Impasto, vgg19: Path, task: dict[str, Any], refined: Rendered
) -> None:
    pixels = canvas.read(refined.image)[..., :3].copy()
    pixels[:8] = -0.01
    pixels[:12, :, 1] = 1
    canvas.write(impasto.folder / "assembled.tif", pixels)
    (impasto.folder / "task.json").write_text(json.dumps(task))
    done = impasto.works(
        "assess", "assembled.tif", "--task", "task.json", *words(vgg19), "--output", "q.json"
    )
    assert done.said[-1].startswith("q.json: style_distance ")
    found = json.loads((impasto.folder / "q.json").read_text())
    assert [entry["level_px"] for entry in found["style"]] == [64, 80]
    assert [entry["size_px"] for entry in found["style"]] == [[72, 57], list(HIGHEST)]
    top = found["style"][-1]["regions"]
    assert list(top) == ["left", "right"]
    assert list(top["left"]["layers"]) == ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
    assert all(0 < region["distance"] < 2 for region in top.values())
    assert found["figures"]["style_distance"] == max(region["distance"] for region in top.values())
    assert 0.1 < found["content"]["similarity"] < 1
    assert set(found["content"]["regions"]) == {"left", "right"}
    assert all(region["to_content"] > 0 < region["to_style"] for region in found["colour"].values())
    assert found["clipping"]["dark"] >= 8 / 89
    assert found["clipping"]["light"] >= 12 / 89
    # Eight rows are at both ends.
    shares = found["clipping"]["dark"], found["clipping"]["light"]
    assert max(shares) <= found["figures"]["clipping"] <= sum(shares) - 8 / 89 + 1e-6
    assert found["seams"] == []
    assert found["figures"]["seams"] is None
    assert not list(impasto.folder.glob(".q*"))


def test_the_content_itself_is_as_like_as_can_be(impasto: Impasto, vgg19: Path, task: dict[str, Any]) -> None:
    level = task["levels"][-1]
    only = {**task, "levels": [level | {"result": level["content"]}]}
    task_words = ["--task", "-", *words(vgg19), "--output", "q.json"]
    impasto.works("assess", level["content"], *task_words, stdin=json.dumps(only))
    figures = json.loads((impasto.folder / "q.json").read_text())["figures"]
    assert figures["content_similarity"] == pytest.approx(1, abs=1e-5)
    assert figures["colour_to_content"] < 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "--task t.json: expected an artwork's files as JSON; found no such file or directory."),
        ("{}", "--task t.json: expected an artwork's files as JSON; found field required at artwork."),
        ("no", "--task t.json: expected an artwork's files as JSON; found invalid json"),
    ],
)
def test_what_is_no_task_is_told_in_one_line(
    impasto: Impasto, vgg19: Path, text: str | None, said: str
) -> None:
    save(impasto.folder / "a.png", gradient(*HIGHEST))
    if text is not None:
        (impasto.folder / "t.json").write_text(text)
    line = impasto.refuses("assess", "a.png", "--task", "t.json", *words(vgg19), "--output", "q.json")
    assert line.startswith(said)


def test_a_missing_file_is_told_in_one_line(impasto: Impasto, vgg19: Path, task: dict[str, Any]) -> None:
    task["levels"][0]["content"] = "gone.tif"
    given = json.dumps(task)
    result = task["levels"][-1]["result"]
    line = impasto.refuses("assess", result, "--task", "-", *words(vgg19), "--output", "q.json", stdin=given)
    assert line == "gone.tif: expected an image file; found no such file."
