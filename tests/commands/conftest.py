"""What the commands' tests share: a folder with `impasto` in it, and one tiny artwork's files, made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from model_files import save_vgg19
from running import Impasto
from tiny_artwork import Artwork, Rendered, write_inputs

from pipeline import canvas
from pipeline.geometry import Size
from pipeline.plan import read_plan


@pytest.fixture
def impasto(tmp_path: Path) -> Impasto:
    """`impasto` in an empty folder."""
    return Impasto(tmp_path)


@pytest.fixture(scope="session")
def vgg19_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own file of VGG-19: real shapes, random numbers."""
    return save_vgg19(tmp_path_factory.mktemp("user") / "mine.safetensors")


@pytest.fixture(scope="session")
def vgg19(vgg19_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The converted model file of a random VGG-19."""
    folder = tmp_path_factory.mktemp("weights")
    Impasto(folder).works("fetch-weights", "vgg19", "--path", vgg19_source, "--output", "vgg19.safetensors")
    return folder / "vgg19.safetensors"


@pytest.fixture(scope="session")
def artwork(vgg19: Path, tmp_path_factory: pytest.TempPathFactory) -> Artwork:
    """The artwork of tiny_artwork.py: the same style in two halves."""
    folder = tmp_path_factory.mktemp("artwork")
    impasto = Impasto(folder)
    write_inputs(folder)
    impasto.works("plan", "--artwork", "halves", "--output", "plan.json")
    plan = read_plan(folder / "plan.json")
    made = Artwork(folder, plan)
    for key, source in plan.sources.items():
        canvas.prepare(folder / source, folder / f"{key}.tif")
    for key, image in plan.images.items():
        canvas.resize(folder / f"{image.prepared}.tif", made.image(key), Size(image.height, image.width))
    for level in plan.levels:
        masks = [(folder / "left.png", False), (folder / "right.png", False)]
        canvas.compose_guides(masks, made.guides(level), level.size)
        (target,) = {plan.targets[made.targets(level).stem].image}
        options = ["--network", "vgg19", "--device", "cpu", "--precision", "float32", "--threads", 1]
        impasto.works(
            "targets", made.image(target), "--weights", vgg19, *options, "--output", made.targets(level)
        )
    return made


@pytest.fixture(scope="session")
def stylised(artwork: Artwork, vgg19: Path, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """The artwork's lowest level."""
    folder = tmp_path_factory.mktemp("stylised")
    words = artwork.level_words(artwork.plan.levels[0], vgg19)
    outputs = ["--output", "stylised.tif", "--record", "stylised.json"]
    imported, done = Impasto(folder).imports("stylise", *words, *outputs)
    return Rendered(folder / "stylised.tif", folder / "stylised.json", done, imported)


@pytest.fixture(scope="session")
def refined(
    artwork: Artwork, vgg19: Path, stylised: Rendered, tmp_path_factory: pytest.TempPathFactory
) -> Rendered:
    """The artwork's highest level."""
    folder = tmp_path_factory.mktemp("refined")
    level = artwork.plan.levels[1]
    canvas.resize(stylised.image, folder / "start.tif", level.size)
    words = [*artwork.level_words(level, vgg19), "--start", "start.tif"]
    outputs = ["--output", "refined.tif", "--record", "refined.json"]
    imported, done = Impasto(folder).imports("refine", *words, *outputs)
    return Rendered(folder / "refined.tif", folder / "refined.json", done, imported)


@pytest.fixture
def words(
    impasto: Impasto, artwork: Artwork, vgg19: Path, stylised: Rendered, refined: Rendered
) -> dict[str, list[Any]]:
    """The options of a print, by name, of files in the folder that provenance names relative to it."""
    for name in ("content.png", "style.png", "left.png", "right.png"):
        (impasto.folder / name).write_bytes((artwork.folder / name).read_bytes())
    return {
        "--plan": [artwork.folder / "plan.json"],
        "--records": [stylised.record, refined.record],
        "--weights": [vgg19],
    }
