"""How far a collection is, from logs, benchmarks and results as jobs leave them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from running import within

from pipeline.collection import resolve_collection
from pipeline.errors import InputError
from pipeline.files import is_held
from pipeline.geometry import Size
from pipeline.job_files import JobFiles
from pipeline.plan import Plan
from pipeline.progress import ArtworkState, failures, follow, lost_models, survey, unreported

STARTED = 1_000_000_000.0
"""When the run began, in seconds: other times are told from it."""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobFiles:
    """Three artworks that share a style, of two levels each; one has no content."""
    monkeypatch.chdir(tmp_path)

    def size_of(path: Path) -> Size:
        if path.name == "gone.png":
            raise InputError(path, expected="an image file", found="none")
        return Size(200, 300)

    artworks = {name: {"content": f"{name}.png", "style": "s.png"} for name in ("a", "b", "gone")}
    raw = {"defaults": {"levels": [64, 128], "iterations": [10, 5]}, "artworks": artworks}
    found = JobFiles(resolve_collection(raw, size_of))
    lock = Path("results/.in-use")
    lock.parent.mkdir()
    lock.touch()
    os.utime(lock, (STARTED, STARTED))
    return found


def ran(job: str, said: str = "", *, begun_s: float = 1.0, done: bool = True) -> None:
    """A job's log, and its benchmark if it was done."""
    log = Path("results/logs", f"{job}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(said)
    os.utime(log, (STARTED + begun_s, STARTED + begun_s))
    if done:
        benchmark = Path("results/benchmarks", f"{job}.tsv")
        benchmark.parent.mkdir(parents=True, exist_ok=True)
        benchmark.touch()
        os.utime(benchmark, (STARTED + begun_s + 1, STARTED + begun_s + 1))


def made(*files: str) -> None:
    for file in files:
        path = Path("results", file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


FINISHED = ("plan.json", "provenance.json", "preview.png", "print.tif", "quality.json", "deepzoom")


def finish(files: JobFiles, artwork: str) -> None:
    """Everything that a plain `snakemake` makes of it."""
    assert files.prints(artwork) == [f"results/{artwork}/print.tif"]
    made(*(f"{artwork}/{file}" for file in FINISHED))


@contextmanager
def at_work() -> Iterator[None]:
    """Another process holds the results."""
    code = "import sys; from pathlib import Path; from pipeline.files import hold\n"
    code += f"import os; hold(Path('results/.in-use')); os.utime('results/.in-use', ({STARTED}, {STARTED}))\n"
    code += "print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        try:
            yield
        finally:
            process.communicate()


def with_limits(plan: Plan) -> Plan:
    """The same artwork, whose print is judged."""
    settings = plan.settings
    limits = settings.quality.limits.model_copy(update={"clipping": 0.1})
    quality = settings.quality.model_copy(update={"limits": limits})
    return plan.model_copy(update={"settings": settings.model_copy(update={"quality": quality})})


def of(files: JobFiles, name: str) -> ArtworkState:
    return next(artwork for artwork in survey(files).artworks if artwork.artwork == name)


def test_nothing_is_made_yet(files: JobFiles) -> None:
    found = survey(files)
    assert [(one.artwork, one.state) for one in found.artworks] == [
        ("a", "to do"),
        ("b", "to do"),
        ("gone", "failed"),
    ]
    assert (
        found.artworks[2].told
        == "config.yaml: artworks.gone.content: gone.png: expected an image file; found none."
    )
    assert found.line == "0 of 3 artworks done, 1 failed, 2 to do (0% of the rendering)"
    assert not found.at_work


def test_a_level_that_a_network_paints_has_no_iterations(files: JobFiles) -> None:
    plans = dict(files.collection.plans)
    level = plans["a"].levels[-1].model_copy(update={"iterations": 0})
    plans["a"] = plans["a"].model_copy(update={"levels": (level,)})
    painted = JobFiles(dataclasses.replace(files.collection, plans=plans))
    assert of(painted, "a").state == "to do"


def test_what_is_made_on_demand_is_told_apart(files: JobFiles) -> None:
    artworks = dict(files.collection.config.artworks)
    artworks["b"] = artworks["b"].model_copy(update={"on_demand": True})
    del artworks["gone"]
    config = files.collection.config.model_copy(update={"artworks": artworks})
    split = JobFiles(dataclasses.replace(files.collection, config=config, refused={}))
    finish(files, "a")
    found = survey(split)
    assert found.line == "1 of 1 artworks done (100% of the rendering)"
    assert found.on_demand_line == "on demand: 0 of 1 artworks done, 1 to do"
    assert [one.on_demand for one in found.artworks] == [False, True]
    # Who makes one sees it in the run's line.
    ran("b/stylise-64", "b 64: 4/10. loss 3\n", done=False)
    assert survey(split).line == (
        "1 of 1 artworks done (100% of the rendering); on demand: 0 of 1 artworks done, 1 stopped"
    )
    finish(files, "b")
    assert survey(split).line == (
        "1 of 1 artworks done (100% of the rendering); on demand: 1 of 1 artworks done"
    )
    assert survey(files).on_demand_line == ""


def test_a_run_tells_the_failures_of_what_it_asked_for(files: JobFiles) -> None:
    ran("a/plan", "impasto plan: x: expected y; found z.\n", done=False)
    assert failures(files, {"b"}, set()) == []
    (line,) = failures(files, {"a"}, {"a"})
    assert line == "a: impasto plan: x: expected y; found z. (results/logs/a/plan.log)"


def test_what_failed_before_a_run_is_no_failure_of_it(files: JobFiles) -> None:
    ran("a/refine-128", "impasto refine: a: expected memory; found none.\n", begun_s=-9, done=False)
    ran("a/judge", "impasto judge: a: expected x; found y.\n", begun_s=3, done=False)
    ran("b/refine-128", "impasto refine: b: expected memory; found none.\n", begun_s=-9, done=False)
    told = failures(files, {"a", "b"}, {"a"})
    assert told == ["a: not made, and no log says why" + UNSAID]
    plans = {name: with_limits(plan) for name, plan in files.collection.plans.items()}
    limited = JobFiles(dataclasses.replace(files.collection, plans=plans))
    told = failures(limited, {"a", "b"}, {"a"})
    assert told == ["a: impasto judge: a: expected x; found y. (results/logs/a/judge.log)"]
    # No run has begun since: the last word of each.
    assert [of(limited, name).step for name in ("a", "b")] == ["judge", "refine-128"]
    ran("a/refine-128", "impasto refine: a: expected memory; found none.\n", begun_s=4, done=False)
    assert of(limited, "a").step == "refine-128"


def test_a_level_that_the_plan_no_longer_has_is_no_failure(files: JobFiles) -> None:
    ran("a/refine-8192", "impasto refine: a: expected memory; found none.\n", done=False)
    ran("a/refine-64", "impasto refine: a: expected memory; found none.\n", done=False)
    ran("a/export_print-avif", "impasto export-print: a: expected x; found y.\n", done=False)
    ran("fetch_weights/sam_vit_h", "impasto fetch-weights: x: expected y; found z.\n", done=False)
    assert of(files, "a").state == "to do"
    ran("a/upsample-128", "impasto upsample: a: expected x; found y.\n", begun_s=-9, done=False)
    assert of(files, "a").step == "upsample-128"


UNSAID = ": a job was refused or the run ended before it began (see above)"


def test_artworks_of_which_no_job_said_anything_are_named_too(files: JobFiles) -> None:
    assert failures(files, {"a", "b", "gone"}, {"a", "b", "gone"}) == [
        "gone: config.yaml: artworks.gone.content: gone.png: expected an image file; found none.",
        "a, b: not made, and no log says why" + UNSAID,
    ]
    # What an earlier run made of it is not what was asked for.
    finish(files, "a")
    assert failures(files, {"a", "b"}, {"a"}) == ["a: not made, and no log says why" + UNSAID]
    assert survey(files, unmade={"a"}).line.startswith("0 of 3 artworks done, ")
    assert survey(files, unmade=()).line.startswith("1 of 3 artworks done, ")
    many = {f"a{number}": files.collection.config.artworks["a"] for number in range(25)}
    config = files.collection.config.model_copy(update={"artworks": many})
    plans = dict.fromkeys(many, files.collection.plans["a"])
    crowd = JobFiles(dataclasses.replace(files.collection, config=config, plans=plans, refused={}))
    (line,) = failures(crowd, many, many)
    assert line.startswith(f"{', '.join(f'a{number}' for number in range(20))}, and 5 more: not made, ")


def test_a_failure_is_told_though_an_earlier_run_had_made_everything(files: JobFiles) -> None:
    finish(files, "a")
    ran("a/refine-128", "impasto refine: a: expected b; found c.\n", done=False)
    assert failures(files, {"a"}, {"a"}) == [
        "a: impasto refine: a: expected b; found c. (results/logs/a/refine-128.log)"
    ]


def test_what_a_run_makes_for_no_artwork_may_fail_too(files: JobFiles) -> None:
    finish(files, "a")
    finish(files, "b")
    ran("report", "impasto report: x: expected y; found z.\n", done=False)
    ran("fetch_viewer", "impasto fetch-viewer: x: expected y; found z.\n", begun_s=-5, done=False)
    ran("report_on_demand")
    told = ["report: impasto report: x: expected y; found z. (results/logs/report.log)"]
    assert failures(files, {"a", "b"}, set()) == told
    # The report makes no artwork.
    assert survey(files).line.startswith("2 of 3 artworks done, 1 failed (")


@pytest.mark.parametrize("reached", ["after 4 of 10 iterations", "before it went on"])
def test_a_job_that_was_stopped_is_told_in_its_own_words(files: JobFiles, reached: str) -> None:
    said = f"stopped {reached}; the same command goes on from there"
    ran("a/stylise-64", f"a 64: 4/10. loss 3\n{said}\nwarning: x\n", done=False)
    assert failures(files, {"a"}, {"a"}) == [f"a: {said} (results/logs/a/stylise-64.log)"]
    assert of(files, "a").state == "stopped"


def test_of_jobs_that_never_began_the_first_is_told(files: JobFiles) -> None:
    # Jobs of one group: Snakemake leaves an empty log of each.
    for begun_s, job in enumerate(("assemble", "export_print-tif", "record"), start=1):
        ran(f"a/{job}", begun_s=begun_s, done=False)
    said = "said nothing: refused, not started, killed, or out of memory or time"
    assert failures(files, {"a"}, {"a"}) == [f"a: {said} (results/logs/a/assemble.log)"]
    # Of several runs the last is told.
    assert of(files, "a").told == "record"
    ran("a/preview", "impasto preview: x: expected y; found z.\n", begun_s=9, done=False)
    assert failures(files, {"a"}, {"a"})[0].startswith("a: impasto preview: ")


@pytest.fixture
def painted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobFiles:
    """Two that wait for a network, which learns from pictures of the demo's, and one that does not."""
    monkeypatch.chdir(tmp_path)
    network: dict[str, Any] = {
        "styles": {"s": "resources/demo/painted_night.png"},
        "photographs": ["resources/demo/chelsea.png"],
        "size_px": 64,
    }
    painted = {"content": "c.png", "style": network["styles"]["s"], "feedforward": {"network": "n"}}
    raw = {
        "networks": {"n": {**network, "network": "vgg19"}},
        "weights": {"vgg19": {"url": "https://example.org/v", "sha256": "0" * 64}},
        "artworks": {
            "a": {**painted, "method": "feedforward"},
            "b": {**painted, "start": "feedforward", "levels": [64]},
            "c": {"content": "c.png", "style": "coffee.png", "levels": [64]},
        },
    }
    return JobFiles(resolve_collection(raw, lambda _: Size(200, 300)))


def test_a_training_is_told_of_all_that_wait_for_it(painted: JobFiles) -> None:
    (key,) = painted.collection.networks
    said = f"train {key}: 1200/40000, about 5 h 10 min left. loss 3\n"
    ran(f"train/{key}", said, done=False)
    with at_work():
        found = survey(painted)
        assert [(one.state, one.told) for one in found.artworks] == [
            *[("running", f"train {key}: 1200/40000")] * 2,
            ("to do", ""),
        ]
        assert found.line.startswith(
            "0 of 3 artworks done, 2 running, 1 to do (0% of the rendering). At work: "
        )
    line = "impasto train: x: expected y; found z."
    ran(f"train/{key}", f"{said}{line}\n", done=False)
    told = f"{line} (results/logs/train/{key}.log)"
    assert failures(painted, {"a", "b", "c"}, {"a", "b"}) == [f"a: {told}", f"b: {told}"]


@pytest.mark.parametrize(
    "job", ["fetch_weights/vgg19", "make_demo/painted_night.png", "make_demo/chelsea.png"]
)
def test_what_a_training_needs_is_told_of_all_that_wait_for_it(painted: JobFiles, job: str) -> None:
    ran(job, "impasto x: expected y; found z.\n", done=False)
    assert [one.state for one in survey(painted).artworks] == ["failed", "failed", "to do"]
    ran("make_demo/coffee.png", "impasto make-demo: x: expected y; found z.\n", done=False)
    # A picture of the user's by that name.
    assert of(painted, "c").state == "to do"


def test_one_on_demand_that_cannot_be_made_is_no_part_of_the_line_of_a_plain_run(files: JobFiles) -> None:
    artworks = dict(files.collection.config.artworks)
    artworks["gone"] = artworks["gone"].model_copy(update={"on_demand": True})
    config = files.collection.config.model_copy(update={"artworks": artworks})
    found = survey(JobFiles(dataclasses.replace(files.collection, config=config)))
    assert found.line == "0 of 2 artworks done, 2 to do (0% of the rendering)"
    assert found.on_demand_line == "on demand: 0 of 1 artworks done, 1 failed"


def test_finished_artworks_on_demand_have_a_report_of_their_own(files: JobFiles) -> None:
    plans = dict(files.collection.plans)
    settings = plans["b"].settings.model_copy(update={"on_demand": True})
    plans["b"] = plans["b"].model_copy(update={"settings": settings})
    split = JobFiles(dataclasses.replace(files.collection, plans=plans))
    finish(files, "a")
    finish(files, "b")
    made("a/pictures/content.jpg", "b/pictures/content.jpg", "report.html")
    os.utime("results/report.html", (STARTED, 4 * STARTED))
    assert unreported(split, {"a", "b"}, on_demand=False) == []
    assert unreported(split, {"a", "b"}, on_demand=True) == ["results/b"]
    assert unreported(split, {"a"}, on_demand=True) == []


def test_done_is_what_has_all_its_files(files: JobFiles) -> None:
    finish(files, "a")
    assert of(files, "a") == ArtworkState("a", "done", share=1.0)
    for file in FINISHED:
        path = Path("results/a", file)
        path.rename("aside")
        assert of(files, "a").state == "to do", file
        Path("aside").rename(path)


def test_a_print_that_fails_its_limits_is_not_done(files: JobFiles) -> None:
    plans = dict(files.collection.plans)
    plans["a"] = with_limits(plans["a"])
    limited = JobFiles(dataclasses.replace(files.collection, plans=plans))
    finish(files, "a")
    line = "impasto judge: results/a/quality.json: expected at most 0.1 clipped; found 0.2."
    ran("a/judge", line, done=False)
    assert (of(limited, "a").state, of(limited, "a").reason) == ("failed", line)
    made("a/quality.passed")
    assert of(limited, "a").state == "done"


def test_finished_artworks_are_reported_though_others_failed(files: JobFiles) -> None:
    assert unreported(files, {"b"}, on_demand=False) == []
    finish(files, "b")
    assert unreported(files, {"b"}, on_demand=False) == []
    made("b/pictures/content.jpg")
    assert unreported(files, {"b"}, on_demand=False) == ["results/b"]
    made("report.html")
    os.utime("results/report.html", (STARTED, 2 * STARTED))
    assert unreported(files, {"b"}, on_demand=False) == []
    os.utime("results/report.html", (1, 1))
    assert unreported(files, {"b"}, on_demand=False) == ["results/b"]


def test_what_an_earlier_run_made_of_an_artwork_that_failed_is_not_reported(files: JobFiles) -> None:
    for name in ("a", "b"):
        finish(files, name)
        made(f"{name}/pictures/content.jpg")
    assert unreported(files, {"a", "b"}, on_demand=False, outdated={"a"}) == ["results/b"]


def test_a_model_file_is_lost_when_something_was_made_with_it(files: JobFiles) -> None:
    assert lost_models(files) == []
    finish(files, "a")
    (model,) = lost_models(files)
    assert model == "resources/weights/vgg16.safetensors"
    Path(model).parent.mkdir(parents=True)
    Path(model).touch()
    assert lost_models(files) == []


def test_a_level_at_work_tells_its_iteration(files: JobFiles) -> None:
    ran("a/plan")
    ran("a/stylise-64", "a 64: 4/10, about 5 s left. loss 3.1e5\n", begun_s=5, done=False)
    # A log of an earlier run.
    ran("b/stylise-64", "b 64: 4/10. loss 3\n", begun_s=-100, done=False)
    with at_work():
        assert is_held(Path("results/.in-use"))
        found = survey(files)
        assert found.at_work
        first = found.artworks[0]
        assert (first.state, first.step, first.iteration, first.iterations) == (
            "running",
            "stylise-64",
            4,
            10,
        )
        # 64 squared times ten and 128 squared times five: the lower level is a third.
        assert first.share == pytest.approx(0.4 / 3, rel=0.02)
        assert found.artworks[1].state == "to do"
        assert found.line.startswith(
            "0 of 3 artworks done, 1 running, 1 failed, 1 to do (4% of the rendering)"
        )
        assert found.line.endswith(". At work: a stylise-64: 4/10")
    assert not is_held(Path("results/.in-use"))
    # The run has gone: the checkpoint says how far it had come.
    state = Path("results/a/levels/64/.stylised-0123456789ab.state")
    state.mkdir(parents=True)
    (state / "checkpoint.json").write_text(json.dumps({"numbers": {"work": {"iteration": 7}}}))
    assert of(files, "a").told == "stylise-64: 7/10"
    assert of(files, "a").state == "stopped"
    (state / "checkpoint.json").write_text("{")
    assert of(files, "a").iteration == 0


def test_an_iteration_of_an_hour_tells_its_share(files: JobFiles) -> None:
    tile = "31 %, gradient: tile 3 of 8"
    ran("a/stylise-64", f"a 64: 1/10, about 2 h 05 min left. {tile}\n", begun_s=5, done=False)
    with at_work():
        first = survey(files).artworks[0]
        assert first.told == "stylise-64: 1/10, 31 %"
        assert first.share == pytest.approx(0.31 / 3, rel=0.02)
    # A checkpoint that is newer than the log.
    state = Path("results/a/levels/64/.stylised-0123456789ab.state")
    state.mkdir(parents=True)
    (state / "checkpoint.json").write_text(json.dumps({"numbers": {"work": {"iteration": 5}}}))
    assert of(files, "a").share == pytest.approx(0.5 / 3, rel=0.02)


def test_a_mistake_is_told_of_all_who_need_the_file(files: JobFiles) -> None:
    (style,) = [key for key, path in files.collection.sources.items() if path.name == "s.png"]
    line = "impasto prepare: s.png: expected a complete image; found damaged data."
    ran(f"prepare/{style}", f"warning: x\n{line}\n", done=False)
    for name in ("a", "b"):
        state = of(files, name)
        assert (state.state, state.reason, state.log) == ("failed", line, f"results/logs/prepare/{style}.log")
        assert state.told == f"{line} (results/logs/prepare/{style}.log)"
    assert failures(files, {"a", "b", "gone"}, set()) == [
        f"a: {line} (results/logs/prepare/{style}.log)",
        f"b: {line} (results/logs/prepare/{style}.log)",
        "gone: config.yaml: artworks.gone.content: gone.png: expected an image file; found none.",
    ]
    # Once it has been done, the failure is history.
    ran(f"prepare/{style}", "fine\n")
    assert of(files, "a").state == "to do"


def test_a_bug_is_told_by_its_last_line_and_a_killed_job_by_its_log(files: JobFiles) -> None:
    ran("a/plan", "Traceback (most recent call last):\n  File x\nZeroDivisionError: division\n", done=False)
    ran("b/stylise-64", "b 64: 4/10. loss 3\n", done=False)
    assert [artwork.told for artwork in survey(files, unmade={"a", "b"}).artworks[:2]] == [
        "ZeroDivisionError: division (results/logs/a/plan.log)",
        "ended without a word: killed, or out of memory or time (results/logs/b/stylise-64.log)",
    ]
    with at_work():
        assert survey(files).artworks[0].state == "failed"
        ran("a/plan", "impasto plan: x: y.\n", begun_s=-5, done=False)
        # The run that is on will try again.
        assert survey(files).artworks[0].state == "to do"


def frames(count: int) -> str:
    return "Traceback (most recent call last):\n" + '  File "x.py", line 1, in y\n    z()\n' * count


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (f"a 64: 4/10. loss 3\n{frames(1000)}ValueError: bad\n", "ValueError: bad"),
        (f"{frames(1)}ValueError: {'tensor ' * 9000}\nmore\n", f"ValueError:{' tensor' * 55} ..."),
        (f"{frames(1)}KeyError: 3\n\nDuring this:\n\n{frames(2)}ValueError: bad\n", "ValueError: bad"),
        # Several processes on one image, whose lines torch marks.
        ("".join(f"[rank1]: {line}\n" for line in [*frames(2).splitlines(), "OSError: x", ""]), "OSError: x"),
        (
            "impasto refine: a: expected b; found c.\n[W112 gloo] closed\n",
            "impasto refine: a: expected b; found c.",
        ),
        # Cut off by a full disk.
        (frames(1), "z()"),
    ],
)
def test_a_failure_is_seen_however_it_is_told(files: JobFiles, said: str, reason: str) -> None:
    ran("a/stylise-64", said, done=False)
    with at_work():
        found = of(files, "a")
    assert (found.state, found.reason) == ("failed", reason)


@pytest.mark.parametrize("step", ["a 64: 4/10, about 2 h 05 min left. loss 3\n", "a 64: 10/10. \n"])
def test_what_a_job_told_before_it_went_on_is_no_failure(files: JobFiles, step: str) -> None:
    ran("a/stylise-64", f"Exception in thread x:\n{frames(2)}ValueError: bad\n{step}warning: y\n", done=False)
    with at_work():
        assert of(files, "a").state == "running"


def test_who_follows_knows_that_a_run_is_on_where_there_are_no_locks(
    files: JobFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran("a/stylise-64", "a 64: 4/10, about 5 s left. loss 3.1e5\n", begun_s=5, done=False)
    ran("b/stylise-64", "impasto stylise: an earlier run's.\n", begun_s=-5, done=False)
    lines: list[str] = []
    asked: list[None] = []

    def look(*words: Any, **named: Any) -> Any:
        asked.append(None)
        if len(asked) == 1:
            raise OSError(116, "Stale file handle")
        return survey(*words, **named)

    def tell(line: str) -> None:
        lines.append(line)
        threading.Event().wait()

    monkeypatch.setattr("pipeline.progress.is_held", lambda _: False)
    monkeypatch.setattr("pipeline.progress.survey", look)
    follow(files, tell, every_s=0.01)
    assert within(10, lambda: len(lines) == 1)
    assert lines[0].startswith("0 of 3 artworks done, 1 running, 1 failed, 1 to do ")
    assert lines[0].endswith("At work: a stylise-64: 4/10")


def test_who_follows_is_told_of_changes_alone(files: JobFiles) -> None:
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            # The thread must not look at the folders of other tests.
            threading.Event().wait()

    before = threading.active_count()
    follow(files, tell, every_s=0.01)
    assert threading.active_count() == before + 1
    assert within(10, lambda: len(lines) == 1)
    finish(files, "a")
    assert within(10, lambda: len(lines) == 2)
    assert lines[1].startswith("1 of 3 artworks done, ")
