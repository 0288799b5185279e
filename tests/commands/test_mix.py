from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import yaml
from pictures import gradient, noise, save
from running import Done, Impasto
from tiny_artwork import CONFIG

from pipeline import canvas
from pipeline.geometry import Size
from pipeline.level_plans import MixPlan
from pipeline.plan import read_plan

OUTPUTS = ["--output", "mixed.tif", "--record", "mixed.json"]


@final
@dataclass(frozen=True)
class Mixtures:
    """A mixture at two levels, its inputs and the lower one made; for reading only.

    Attributes:
        folder: Where the files lie.
        low: Its plan at the lowest level.
        high: Its plan above that.
        done: What the command said of the lower one.
    """

    folder: Path
    low: MixPlan
    high: MixPlan
    done: Done

    def words(self, plan: MixPlan, weights: Path) -> dict[str, Any]:
        """What `impasto mix` is given for one of them, by option; its first argument has no name."""
        start = self.folder / (f"{plan.start}.tif" if plan.lowest else "mixed.tif")
        return {"": start, "--fine": self.folder / f"{plan.fine}.tif", "--plan": "-", "--weights": weights}


def given(words: dict[str, Any]) -> list[Any]:
    return [word for pair in words.items() for word in pair if word]


@pytest.fixture(scope="module")
def mixtures(vgg19: Path, tmp_path_factory: pytest.TempPathFactory) -> Mixtures:
    folder = tmp_path_factory.mktemp("mixtures")
    impasto = Impasto(folder)
    save(folder / "content.png", gradient(100, 80))
    save(folder / "coarse.png", noise(100, 80, seed=1))
    save(folder / "fine.png", gradient(90, 90))
    artwork = {
        "content": "content.png",
        "style": {"image": "coarse.png", "fine": "fine.png"},
        "network": {"name": "vgg19"},
        "mixing": {"iterations": [3, 2], "up_to_layer": ["relu1_1", "relu2_1"]},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "artworks": {"mixed": artwork}}))
    impasto.works("plan", "--artwork", "mixed", "--output", "plan.json")
    plan = read_plan(folder / "plan.json")
    low, high = sorted(plan.mixes.values(), key=lambda mix: mix.height)
    for key in (low.start, low.fine, high.fine):
        image = plan.images[key]
        source = folder / plan.sources[image.prepared]
        canvas.resize(source, folder / f"{key}.tif", Size(image.height, image.width))
    first = Mixtures(folder, low, high, Done("", []))
    words = given(first.words(low, vgg19))
    done = impasto.works("mix", *words, *OUTPUTS, stdin=low.model_dump_json())
    return Mixtures(folder, low, high, done)


def test_the_lowest_mixture_starts_from_the_coarse_image(mixtures: Mixtures) -> None:
    image = canvas.read(mixtures.folder / "mixed.tif")
    assert image.shape == (72, 57, 3)
    coarse = canvas.read(mixtures.folder / f"{mixtures.low.start}.tif")
    assert 0.002 < np.abs(image - coarse).mean() < 0.5
    record = json.loads((mixtures.folder / "mixed.json").read_text())
    assert (record["level"]["height_px"], record["level"]["width_px"]) == (72, 57)
    assert list(record["trace"][0]["terms"]) == ["style relu1_1"]
    losses = [point["loss"] for point in record["trace"]]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)


def test_it_says_how_far_it_is_and_what_it_cost(mixtures: Mixtures) -> None:
    assert mixtures.done.printed == ""
    *progress, last = mixtures.done.said
    assert progress[-1].startswith("mixed: 3/3. loss ")
    assert last.startswith("mixed.tif: 72x57 px, loss ")
    assert "3 of 3 iterations" in last


def test_a_higher_mixture_starts_from_the_one_below_enlarged(
    impasto: Impasto, mixtures: Mixtures, vgg19: Path
) -> None:
    plan = mixtures.high.model_copy(update={"iterations": 1})
    (impasto.folder / "mix.json").write_text(plan.model_dump_json())
    words = mixtures.words(plan, vgg19) | {"--plan": "mix.json"}
    impasto.works("mix", *given(words), *OUTPUTS)
    found = sorted(path.name for path in impasto.folder.iterdir())
    assert found == ["mix.json", "mixed.json", "mixed.tif"]
    image = canvas.read(impasto.folder / "mixed.tif")
    assert image.shape == (89, 72, 3)
    canvas.resize(mixtures.folder / "mixed.tif", impasto.folder / "enlarged.tif", Size(89, 72))
    start = canvas.read(impasto.folder / "enlarged.tif")
    # One step of ten grey levels at most, from noise that is nothing like the coarse image at this size.
    assert 0.0005 < np.abs(image - start).mean() < 10 / 255
    record = json.loads((impasto.folder / "mixed.json").read_text())
    assert list(record["trace"][0]["terms"]) == ["style relu1_1", "style relu2_1"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"": "grey.png"}, "grey.png: expected 72x57 px (height x width) as planned; found 20x20 px."),
        ({"": "absent.png"}, "absent.png: expected an image file; found no such file."),
        ({"--fine": "absent.png"}, "absent.png: expected an image file; found no such file."),
        ({"--fine": "grey.png"}, "grey.png: expected an image of 3 bands; found 1."),
        (
            {"--plan": "plan.json"},
            "plan.json: expected a mixture's plan, one of the `mixes` of plan.json; found field required at",
        ),
        (
            {"--plan": "absent.json"},
            "absent.json: expected a mixture's plan, one of the `mixes` of plan.json; found no such file",
        ),
        ({"--weights": "plan.json"}, "plan.json: expected "),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    impasto: Impasto, mixtures: Mixtures, vgg19: Path, change: dict[str, str], said: str
) -> None:
    (impasto.folder / "plan.json").write_text("{}")
    size = (20, 20, 1) if "--fine" in change else (20, 20, 3)
    save(impasto.folder / "grey.png", np.full(size, 128, np.uint8))
    words = mixtures.words(mixtures.low, vgg19) | change
    line = impasto.refuses("mix", *given(words), *OUTPUTS, stdin=mixtures.low.model_dump_json())
    assert line.startswith(said)
