"""A tiny collection and the workflow that renders it, run as a user runs it."""

from __future__ import annotations

import compileall
import copy
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

import yaml
from model_files import save_vgg19
from pictures import gradient, left_half, noise, save
from running import REPOSITORY, environment, run, run_warm, warm_jobs

_SOURCES = ("Snakefile", "rules", "profiles", "pipeline")

CONFIG: dict[str, Any] = {
    "title": "Tiny",
    "compute": {"device": "cpu", "precision": "float32", "threads": 1},
    "report": {"viewer": "none"},
    "weights": {"vgg19": {"path": "inputs/vgg19.safetensors"}},
    "defaults": {
        "levels": [64, 80],
        "iterations": [2, 2],
        "network": {"name": "vgg19"},
        "deepzoom": "none",
    },
    "artworks": {
        "halves": {
            "content": "inputs/content.png",
            "regions": [
                {"where": "inputs/left.png", "style": "inputs/style.png"},
                {"where": "inputs/right.png", "style": "inputs/other.png"},
            ],
        },
        "scene": {
            "content": "inputs/scene.png",
            "style": "inputs/style.png",
            "colour": {"mode": "luminance"},
        },
    },
}
"""Two artworks: two regions from mask files, and one style that keeps the photograph's colours."""


SOCKETS = "sockets.txt"
"""What the commands of `RenderedCollection` did about the network: watching/sitecustomize.py."""


def config_with(path: str, value: Any) -> str:
    """`CONFIG` with one value changed, as text; the path is dotted, and a list's items are numbered."""
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    node: Any = config
    for key in parents:
        node = node[int(key) if isinstance(node, list) else key]
    node[last] = value
    return json.dumps(config)


def jobs_of_levels(artwork: str, *levels: int) -> set[str]:
    """Rendering these levels of an artwork, and what is made of the highest."""
    found = {f"{rule} artwork={artwork}" for rule in ("assemble", "record", "assess", "preview")} | {"report"}
    found |= {f"export_print artwork={artwork}, extension=tif"}
    if 64 in levels:
        found |= {f"stylise artwork={artwork}, level=64"}
    if 80 in levels:
        # What a level starts from is not kept: it is made again with the level.
        found |= {f"upsample artwork={artwork}, level=80", f"refine artwork={artwork}, level=80"}
    return found


HALVES, SCENE = jobs_of_levels("halves", 64, 80), jobs_of_levels("scene", 64, 80)
STYLES = {
    name: {f"{rule} key={name}-{size}" for rule in ("recolour", "targets") for size in sizes}
    for name, sizes in {"style": ("64x64", "80x80"), "other": ("58x70", "73x88")}.items()
}
CONTENTS = {"recolour key=content-72x57", "recolour key=content-89x72"}
SCENES = {"recolour key=scene-56x73", "recolour key=scene-71x91"}
GUIDES = {"guide artwork=halves, level=64", "guide artwork=halves, level=80"}
EVERYTHING = {
    *HALVES, *SCENE, *STYLES["style"], *STYLES["other"], *CONTENTS, *SCENES, *GUIDES,
    *(f"prepare key={name}" for name in ("content", "scene", "style", "other")),
    "plan artwork=halves", "plan artwork=scene", "fetch_weights weights=vgg19",
}  # fmt: skip
"""Every job of `CONFIG`, as `jobs` names them: artworks that share a style differ in its hash."""


def write_inputs(folder: Path) -> None:
    """Writes the files that `CONFIG` names."""
    inputs = folder / "inputs"
    inputs.mkdir()
    save(inputs / "content.png", gradient(100, 80))
    save(inputs / "scene.png", gradient(70, 90) // 2 + noise(70, 90, seed=5) // 2)
    save(inputs / "style.png", noise(90, 90, seed=2))
    save(inputs / "other.png", noise(80, 96, seed=3) // 2)
    save(inputs / "left.png", left_half(50, 40))
    save(inputs / "right.png", 255 - left_half(50, 40))
    save_vgg19(inputs / "vgg19.safetensors")


@cache
def _compile() -> None:
    """Compiles the package once: each of a workflow's many processes would do it for itself."""
    compileall.compile_dir(REPOSITORY / "pipeline", quiet=2)


@final
@dataclass(frozen=True)
class Checkout:
    """A copy of the repository's code in a folder of its own, which can be edited and run.

    Attributes:
        folder: Where Snakefile, rules and package lie.
        warm: Whether jobs start without importing torch anew each; they then outlive a killed Snakemake.
    """

    folder: Path
    warm: bool = False

    @classmethod
    def make(cls, folder: Path, *, warm: bool = False) -> Checkout:
        """Copies what a run needs, with its bytecode: what is edited later is compiled anew."""
        _compile()
        for name in _SOURCES:
            source = REPOSITORY / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
            else:
                shutil.copy2(source, folder / name)
        return cls(folder, warm)

    def configure(self, config: dict[str, Any]) -> None:
        """Writes config.yaml."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def snakemake(self, *words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Runs `snakemake WORDS` with this checkout's package, from its folder unless told otherwise."""
        return run_warm(["snakemake", *map(str, words)], cwd or self.folder, self.env)

    @property
    def env(self) -> dict[str, str]:
        """What makes snakemake and `impasto` use this checkout's package."""
        jobs = warm_jobs() if self.warm else {}
        return {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", **jobs}

    def renders(self, *words: object, cwd: Path | None = None) -> set[str]:
        """The jobs of a run, which must succeed."""
        done = self.snakemake("--cores", 2, *words, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        return jobs(done)

    def would_render(self, *words: object) -> set[str]:
        """The jobs that a dry run announces."""
        done = self.snakemake("-n", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return jobs(done)

    @contextmanager
    def edited(self, name: str, new: str | bytes, old: str = "") -> Iterator[None]:
        """A file with other contents for a while, or with `old` replaced by `new`; times come back too."""
        path = self.folder / name
        before, facts = path.read_bytes(), path.stat()
        contents = new.encode() if isinstance(new, str) else new
        if old:
            assert before.count(old.encode()) == 1, (
                f"{old!r} stands {before.count(old.encode())} times in {name}"
            )
            contents = before.replace(old.encode(), contents)
        path.write_bytes(contents)
        try:
            yield
        finally:
            path.write_bytes(before)
            os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    def processes(self) -> set[int]:
        """The numbers of the `impasto` processes that work in this folder."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    here = (entry / "cwd").readlink() == self.folder
                    impasto = b"impasto" in (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if here and impasto:
                    found.add(int(entry.name))
        return found

    @contextmanager
    def running(
        self, *words: object, program: Sequence[str] = ("snakemake",)
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Snakemake, or what stands for it, in the background; whatever is left of it in the end is ended."""
        log = self.folder / "background.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*program, *map(str, words)],
                cwd=self.folder,
                env=environment(self.env),
                stdout=stream,
                stderr=stream,
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait()
                for number in self.processes():
                    os.kill(number, signal.SIGKILL)


def jobs(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Each job that snakemake names, as `rule wildcard=value`, without the hashes in keys; `all` left out."""
    found: set[str] = set()
    rule = ""
    for line in (done.stdout + done.stderr).splitlines():
        start = re.fullmatch(r"(?:local)?rule (\w+):", line)
        if start:
            found.add(rule)
            rule = start[1]
        elif line.startswith("    wildcards: "):
            rule += " " + re.sub(r"-[0-9a-f]{12}\b", "", line.removeprefix("    wildcards: "))
    return {*found, rule} - {"", "all"}


@final
@dataclass(frozen=True)
class RenderedCollection:
    """A checkout with finished results.

    Attributes:
        checkout: Where they lie.
        promised: The jobs that the dry run before announced.
        made: The jobs that were run.
        rounds: How often Snakemake chose among the jobs that were ready.
    """

    checkout: Checkout
    promised: set[str]
    made: set[str]
    rounds: int

    @classmethod
    def render(cls, checkout: Checkout) -> RenderedCollection:
        """Announces, then renders everything that a checkout is configured for."""
        promised = checkout.would_render()
        assert not (checkout.folder / "results").exists()
        watching = os.pathsep.join([str(REPOSITORY / "tests" / "watching"), str(checkout.folder)])
        env = {**checkout.env, "PYTHONPATH": watching, "WATCHED_SOCKETS": str(checkout.folder / SOCKETS)}
        start = run_warm if checkout.warm else run
        done = start(["snakemake", "--cores", "2", "--verbose"], checkout.folder, env)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return cls(checkout, promised, jobs(done), said.count("Resources before job selection"))

    @property
    def results(self) -> Path:
        """The folder of results."""
        return self.checkout.folder / "results"
