"""What the workflow costs beside computing: dry runs of large collections, and work that artworks share.

    python tests/benchmarks/orchestration.py dry-run 500
    python tests/benchmarks/orchestration.py sharing
    python tests/benchmarks/orchestration.py overhead RESOURCES
    python tests/benchmarks/orchestration.py finished RESULTS

Processor seconds of the children are told, which a busy machine changes little. Every image is the same
small file under many names. `overhead` renders 24 small artworks with the weights in RESOURCES/weights, and
tells the share of its wall time that is not computing: half a minute to a minute each on two cores, about two
with `--iterations 240`; `--artworks 2 --iterations 2` tries it out. `finished` sums what the benchmark files
of a finished run say, against the seconds that the loops of the optimiser recorded.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from pictures import gradient, noise, save
from running import REPOSITORY, environment

from pipeline.collection import resolve_collection
from pipeline.geometry import Size

_ALONE = """
N = {artworks}
A = [f"a{{i}}" for i in range(N)]
LEVELS = [256, 512]
rule all:
    input:
        expand("r/{{a}}/{{f}}", a=A, f=["print.tif", "provenance.json", "preview.png", "plan.json"]),
        expand("r/{{a}}/{{f}}", a=A, f=["quality.json", "deepzoom"]),
        "r/report.html"
rule weights:
    output: "w/{{name}}"
    log: "r/logs/weights-{{name}}.log"
    benchmark: "r/benchmarks/weights-{{name}}.tsv"
    shell: "x"
rule plan:
    output: "r/{{a}}/plan.json"
    log: "r/logs/{{a}}/plan.log"
    benchmark: "r/benchmarks/{{a}}/plan.tsv"
    params: settings=lambda w: w.a * 100
    shell: "x"
rule prepare:
    input: lambda w: f"inputs/{{w.key}}.png"
    output: "r/shared/prepared/{{key}}.tif"
    log: "r/logs/prepare/{{key}}.log"
    benchmark: "r/benchmarks/prepare/{{key}}.tsv"
    shell: "x"
rule recolour:
    input: "r/shared/prepared/{{key}}.tif"
    output: "r/shared/images/{{key}}-{{level}}.tif"
    log: "r/logs/recolour/{{key}}-{{level}}.log"
    benchmark: "r/benchmarks/recolour/{{key}}-{{level}}.tsv"
    shell: "x"
rule targets:
    input: "r/shared/images/{{key}}-{{level}}.tif", "w/vgg16"
    output: "r/shared/targets/{{key}}-{{level}}"
    log: "r/logs/targets/{{key}}-{{level}}.log"
    benchmark: "r/benchmarks/targets/{{key}}-{{level}}.tsv"
    shell: "x"
def style(w):
    return f"s{{int(w.a[1:]) % 10}}"
rule stylise:
    input: lambda w: ["w/vgg16", f"r/shared/images/{{w.a}}-256.tif", f"r/shared/targets/{{style(w)}}-256"]
    output: "r/{{a}}/levels/256.tif", "r/{{a}}/levels/256.json"
    log: "r/logs/{{a}}/stylise.log"
    benchmark: "r/benchmarks/{{a}}/stylise.tsv"
    params: plan=lambda w: w.a * 400
    shell: "x"
rule upsample:
    input: "r/{{a}}/levels/256.tif", "r/shared/images/{{a}}-256.tif", "r/shared/images/{{a}}-512.tif"
    output: temp("r/{{a}}/start.tif")
    log: "r/logs/{{a}}/upsample.log"
    benchmark: "r/benchmarks/{{a}}/upsample.tsv"
    shell: "x"
rule refine:
    input:
        "w/vgg16", "r/{{a}}/start.tif", "r/shared/images/{{a}}-512.tif",
        lambda w: f"r/shared/targets/{{style(w)}}-512"
    output: "r/{{a}}/levels/512.tif", "r/{{a}}/levels/512.json"
    log: "r/logs/{{a}}/refine.log"
    benchmark: "r/benchmarks/{{a}}/refine.tsv"
    params: plan=lambda w: w.a * 400
    shell: "x"
rule assemble:
    input: "r/{{a}}/levels/512.tif", "r/shared/prepared/{{a}}.tif"
    output: temp("r/{{a}}/assembled.tif")
    log: "r/logs/{{a}}/assemble.log"
    benchmark: "r/benchmarks/{{a}}/assemble.tsv"
    shell: "x"
def recorded(w):
    levels = [f"r/{{w.a}}/levels/{{level}}.json" for level in LEVELS]
    return [f"r/{{w.a}}/plan.json", *levels, "w/vgg16", f"inputs/{{w.a}}.png", f"inputs/{{style(w)}}.png"]
rule export_print:
    input: recorded, "r/{{a}}/assembled.tif"
    output: "r/{{a}}/print.tif"
    log: "r/logs/{{a}}/export.log"
    benchmark: "r/benchmarks/{{a}}/export.tsv"
    shell: "x"
rule export_deepzoom:
    input: "r/{{a}}/assembled.tif"
    output: directory("r/{{a}}/deepzoom")
    log: "r/logs/{{a}}/deepzoom.log"
    benchmark: "r/benchmarks/{{a}}/deepzoom.tsv"
    shell: "x"
rule record:
    input: recorded, "r/{{a}}/print.tif"
    output: "r/{{a}}/provenance.json"
    log: "r/logs/{{a}}/record.log"
    benchmark: "r/benchmarks/{{a}}/record.tsv"
    shell: "x"
def seen(w):
    images = [f"r/shared/images/{{key}}-{{level}}.tif" for level in LEVELS for key in (w.a, style(w))]
    made = [f"r/{{w.a}}/levels/{{level}}.{{kind}}" for level in LEVELS for kind in ("tif", "json")]
    return [*images, *made]
rule assess:
    input: seen, "r/{{a}}/assembled.tif", "r/shared/prepared/{{a}}.tif", "w/vgg16"
    output: "r/{{a}}/quality.json"
    log: "r/logs/{{a}}/assess.log"
    benchmark: "r/benchmarks/{{a}}/assess.tsv"
    params: task=lambda w: w.a * 100
    shell: "x"
rule preview:
    input:
        "r/{{a}}/assembled.tif", "r/{{a}}/plan.json", "r/{{a}}/levels/256.tif", "r/{{a}}/levels/512.tif",
        "r/shared/prepared/{{a}}.tif", lambda w: f"r/shared/images/{{style(w)}}-512.tif"
    output: "r/{{a}}/preview.png", directory("r/{{a}}/pictures")
    log: "r/logs/{{a}}/preview.log"
    benchmark: "r/benchmarks/{{a}}/preview.tsv"
    shell: "x"
rule report:
    input:
        expand("r/{{a}}/{{f}}", a=A, f=["plan.json", "provenance.json", "preview.png", "pictures"]),
        expand("r/{{a}}/quality.json", a=A)
    output: "r/report.html", directory("r/report")
    log: "r/logs/report.log"
    benchmark: "r/benchmarks/report.tsv"
    shell: "x"
"""
"""The graph of a style per artwork at two levels from wildcards alone: what Snakemake itself takes for it."""

_STATED = """    threads: 1
    resources:
        mem_mb=lambda w, attempt: 1024 * attempt,
        runtime=lambda w, attempt: 30 * attempt,
        disk_mb=lambda w: 64
    shell: "exec x {input:q} --output {output:q} > {log:q} 2>&1"
"""
"""What each rule states besides: resources that grow with each attempt can be said by functions only."""


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _dry_run(folder: Path, *words: str) -> tuple[float, int]:
    """Processor seconds of a dry run, and its jobs."""
    before = _children_s()
    done = subprocess.run(
        ["snakemake", "-n", "-q", "rules", *words],
        cwd=folder,
        env=environment({"PYTHONPATH": str(REPOSITORY)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    total = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("total ")]
    return _children_s() - before, int(total[0].split()[1])


def dry_run(artworks: int) -> None:
    """A dry run of so many artworks, against Snakemake's own for such a graph."""
    with tempfile.TemporaryDirectory() as scratch:
        ours, alone = Path(scratch, "ours"), Path(scratch, "alone")
        for folder in (ours, alone):
            (folder / "inputs").mkdir(parents=True)
            image = save(folder / "inputs" / "image.png", gradient(200, 300))
            for name in (*(f"a{i}" for i in range(artworks)), *(f"s{i}" for i in range(10))):
                os.link(image, folder / "inputs" / f"{name}.png")
        for name in ("Snakefile", "rules", "profiles"):
            source = REPOSITORY / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, ours / name)
        rows = [f"a{i},inputs/a{i}.png,inputs/s{i % 10}.png" for i in range(artworks)]
        (ours / "sheet.csv").write_text("name,content,style\n" + "\n".join(rows) + "\n")
        config = {"sheet": "sheet.csv", "defaults": {"levels": [256, 512]}, "report": {"viewer": "none"}}
        (ours / "config.yaml").write_text(yaml.safe_dump(config))
        (alone / "Snakefile").write_text(_ALONE.format(artworks=artworks).replace('    shell: "x"', _STATED))
        shutil.copytree(REPOSITORY / "profiles", alone / "profiles")
        for name, folder in (("Snakemake alone", alone), ("first, reading headers", ours), ("again", ours)):
            seconds, count = _dry_run(folder)
            _tell(f"{artworks} artworks, {name}: {seconds:.1f} s of processor time, {count} jobs")


def sharing() -> None:
    """Jobs of six contents in four styles by region, with masks and mixtures, shared and not."""
    styles = {
        f"s{i}": {
            "regions": [
                {"where": "person", "style": {"image": f"s{i}.png", "fine": "f.png"}},
                {"where": "background", "style": f"s{i}.png"},
            ]
        }
        for i in range(4)
    }
    contents = {f"c{i}": f"c{i}.png" for i in range(6)}
    raw: dict[str, Any] = {"combine": {"contents": contents, "styles": styles}}
    plans = resolve_collection(raw, lambda _: Size(3000, 4000)).plans.values()
    kinds = ("sources", "masks", "images", "mixes", "targets")
    work = Counter[str]()
    for kind in kinds:
        alone = [(key, value) for plan in plans for key, value in getattr(plan, kind).items()]
        once = dict(alone)
        _tell(f"{kind}: {len(alone)} jobs if nothing were shared, {len(once)} shared")
        work["jobs alone"] += len(alone)
        work["jobs shared"] += len(once)
        if kind == "mixes":
            for name, values in (("alone", [value for _, value in alone]), ("shared", list(once.values()))):
                work[f"mixing {name}"] = sum(value.size.area * value.iterations for value in values)
    own = sum(4 + 4 * len(plan.levels) for plan in plans)
    rendering = sum(level.size.area * level.iterations for plan in plans for level in plan.levels)
    _tell(f"jobs of all kinds: {work['jobs alone'] + own} and {work['jobs shared'] + own}")
    for name in ("alone", "shared"):
        _tell(
            f"megapixel-iterations {name}: {work[f'mixing {name}'] / 1e6:.0f} of mixing beside "
            f"{rendering / 1e6:.0f} of rendering"
        )


def finished(results: Path) -> float:
    """Tells where the time of a finished run went, by rule; the seconds in its loops."""
    seconds, processor, count = defaultdict[str, float](float), defaultdict[str, float](float), Counter[str]()
    for file in (results / "benchmarks").rglob("*.tsv"):
        own = (results / file.parent.name).is_dir()
        rule = (
            file.stem.partition("-")[0] if own or file.parent == results / "benchmarks" else file.parent.name
        )
        with file.open(encoding="utf-8") as stream:
            for row in csv.DictReader(stream, delimiter="\t"):
                seconds[rule] += float(row["s"])
                # Too short to be looked at by Snakemake.
                processor[rule] += 0.0 if row["cpu_time"] in ("NA", "-") else float(row["cpu_time"])
                count[rule] += 1
    for rule in sorted(seconds, key=lambda name: -seconds[name]):
        _tell(f"{rule}: {count[rule]} jobs, {seconds[rule]:.1f} s, {processor[rule]:.1f} s of processor time")
    records = [json.loads(file.read_text()) for file in results.glob("*/levels/*/*.json")]
    computed = sum(float(record["level"]["seconds"]) for record in records)
    total = f"{sum(count.values())} jobs, {sum(seconds.values()):.1f} s"
    _tell(f"all: {total}, of these {computed:.1f} s in the loops")
    return computed


def overhead(resources: Path, artworks: int, iterations: int) -> None:
    """What it takes to render so many small artworks, beside the seconds in the loops."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in ("Snakefile", "rules", "profiles"):
            source = REPOSITORY / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
        shutil.copytree(resources / "weights", folder / "resources" / "weights")
        for seed in range(artworks):
            save(folder / "inputs" / f"a{seed}.png", noise(400, 600, seed=seed))
        config = {
            "combine": {"contents": "inputs"},
            "defaults": {
                "style": "inputs/a0.png",
                "levels": [256, 512],
                "iterations": [iterations, iterations // 2],
            },
            "report": {"viewer": "none"},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        begun = time.monotonic()
        done = subprocess.run(
            ["snakemake", "--cores", "2", "-q"],
            cwd=folder,
            env=environment({"PYTHONPATH": str(REPOSITORY)}),
            capture_output=True,
            text=True,
            check=False,
        )
        wall_s = time.monotonic() - begun
        assert done.returncode == 0, done.stdout + done.stderr
        computed_s = finished(folder / "results")
        around_s = wall_s - computed_s
        _tell(
            f"{artworks} artworks in {wall_s:.0f} s, {computed_s:.0f} s of them in the loops: "
            f"{around_s / wall_s:.1%} is not computing, {around_s / artworks:.1f} s for each artwork"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("dry-run").add_argument("artworks", type=int)
    verbs.add_parser("sharing")
    whole = verbs.add_parser("overhead")
    whole.add_argument("resources", type=Path)
    whole.add_argument("--artworks", type=int, default=24)
    whole.add_argument("--iterations", type=int, default=60)
    verbs.add_parser("finished").add_argument("results", type=Path)
    given = parser.parse_args()
    if given.verb == "dry-run":
        dry_run(given.artworks)
    elif given.verb == "sharing":
        sharing()
    elif given.verb == "overhead":
        overhead(given.resources, given.artworks, given.iterations)
    else:
        finished(given.results)
