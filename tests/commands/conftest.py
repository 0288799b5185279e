"""What the commands' tests share: a folder with `impasto` in it, and one tiny artwork's files, made once."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import pytest
from model_files import save_vgg19
from running import Done, Impasto
from tiny_artwork import Artwork, Rendered, write_inputs

from pipeline import canvas
from pipeline.geometry import Size
from pipeline.plan import read_plan


@pytest.fixture
def impasto(tmp_path: Path) -> Impasto:
    """`impasto` in an empty folder."""
    return Impasto(tmp_path)


@final
@dataclass(frozen=True)
class Once:
    """Folders that the first worker to need them makes, for all of them; for reading only.

    Attributes:
        folder: Where they lie.
    """

    folder: Path

    def made(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder of this name, in which `make` has put something."""
        folder, finished = self.folder / name, self.folder / f"{name}.finished"
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not finished.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                finished.touch()
        return folder


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Once:
    """What a run's workers share."""
    own = tmp_path_factory.getbasetemp()
    return Once(own if worker_id == "master" else own.parent)


@pytest.fixture(scope="session")
def vgg19_source(once: Once) -> Path:
    """A user's own file of VGG-19: real shapes, random numbers."""
    return once.made("user", lambda folder: save_vgg19(folder / "mine.safetensors")) / "mine.safetensors"


@pytest.fixture(scope="session")
def vgg19(vgg19_source: Path, once: Once) -> Path:
    """The converted model file of a random VGG-19."""
    words = ["fetch-weights", "vgg19", "--path", vgg19_source, "--output", "vgg19.safetensors"]
    return once.made("weights", lambda folder: Impasto(folder).works(*words)) / "vgg19.safetensors"


@pytest.fixture(scope="session")
def artwork(vgg19: Path, once: Once) -> Artwork:
    """The artwork of tiny_artwork.py: the same style in two halves."""
    folder = once.made("artwork", lambda folder: make_artwork(folder, vgg19))
    return Artwork(folder, read_plan(folder / "plan.json"))


def make_artwork(folder: Path, vgg19: Path) -> None:
    """Makes the files of the artwork, up to what its levels need."""
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


@pytest.fixture(scope="session")
def stylised(artwork: Artwork, vgg19: Path, once: Once) -> Rendered:
    """The artwork's lowest level."""

    def make(folder: Path) -> None:
        words = artwork.level_words(artwork.plan.levels[0], vgg19)
        outputs = ["--output", "stylised.tif", "--record", "stylised.json"]
        imported, done = Impasto(folder).imports("stylise", *words, *outputs)
        keep(folder, done, imported)

    return rendered(once.made("stylised", make), "stylised")


@pytest.fixture(scope="session")
def refined(artwork: Artwork, vgg19: Path, stylised: Rendered, once: Once) -> Rendered:
    """The artwork's highest level."""

    def make(folder: Path) -> None:
        level = artwork.plan.levels[1]
        canvas.resize(stylised.image, folder / "start.tif", level.size)
        words = [*artwork.level_words(level, vgg19), "--start", "start.tif"]
        done = Impasto(folder).works("refine", *words, "--output", "refined.tif", "--record", "refined.json")
        keep(folder, done)

    return rendered(once.made("refined", make), "refined")


def keep(folder: Path, done: Done, imported: frozenset[str] = frozenset()) -> None:
    """Writes down what a command said and imported."""
    (folder / "done.json").write_text(json.dumps([done.printed, done.said, sorted(imported)]))


def rendered(folder: Path, name: str) -> Rendered:
    """A level that was made in a folder."""
    printed, said, imported = json.loads((folder / "done.json").read_text())
    image, record = folder / f"{name}.tif", folder / f"{name}.json"
    return Rendered(image, record, Done(printed, said), frozenset(imported))


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
