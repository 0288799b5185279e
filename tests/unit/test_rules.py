"""What every rule of the workflow states, read from its text: a scheduler knows nothing else of a job."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.commands.listing import COMMANDS
from pipeline.config.models import RESERVED_NAMES

PROFILES = Path(__file__).parents[2] / "profiles"
FILES = (Path(__file__).parents[2] / "Snakefile", *(Path(__file__).parents[2] / "rules").glob("*.smk"))
ON_A_DEVICE = {"apply", "assess", "mix", "refine", "stylise", "targets", "train"}
# Nothing of the plan is known to them, or their work does not depend on it.
FIXED = {"fetch_viewer", "fetch_weights", "make_demo", "plan"}
# Names for sets of files, without work of their own; and what copies files.
WITHOUT_COMMAND = {"all", "demo_feedforward", "deliver", "deliver_folder"}


def rules() -> dict[str, str]:
    """The text of each rule by its name."""
    found: dict[str, str] = {}
    for file in FILES:
        for block in re.split(r"^ *(?=rule \w+:)", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            name, indent = block[len("rule ") : block.index(":")], re.search(r"\n( +)\w+:", block)
            assert indent is not None, name
            # What stands further left is not the rule's.
            found[name] = "\n".join(line for line in block.splitlines()[1:] if line.startswith(indent[1]))
    return found


def section(text: str, key: str) -> str:
    """What stands under a key of a rule; empty where it is missing."""
    match = re.search(rf"^( *){key}:(.*(?:\n\1 +.*|\n *$)*)", text, re.MULTILINE)
    return "" if match is None else match[2]


def clusters() -> dict[str, dict[str, Any]]:
    """The profiles that send jobs to other machines, by name."""
    found = {
        file.parent.name: yaml.safe_load(file.read_text(encoding="utf-8"))
        for file in PROFILES.glob("*/config.yaml")
    }
    return {name: profile for name, profile in found.items() if "executor" in profile}


RULES = rules()
AT_WORK = sorted({*RULES} - {"all", "demo_feedforward"})


def test_every_rule_is_read() -> None:
    assert len(AT_WORK) >= 25
    assert {*ON_A_DEVICE, *FIXED, *WITHOUT_COMMAND} <= RULES.keys()


@pytest.mark.parametrize("rule", AT_WORK)
def test_a_rule_states_what_its_jobs_need(rule: str) -> None:
    text = RULES[rule]
    assert section(text, "log"), "log"
    assert section(text, "benchmark"), "benchmark"
    assert section(text, "threads"), "threads"
    stated = dict(
        re.findall(r"^ +(\w+)=((?:.*\n?)(?: +(?! |\w+=).*\n?)*)", section(text, "resources"), re.MULTILINE)
    )
    assert {"mem_mb", "runtime", "disk_mb"} <= stated.keys()
    assert ("gpu" in stated) == (rule in ON_A_DEVICE)
    for name in ("mem_mb", "runtime", "disk_mb", "gpu"):
        assert rule in FIXED or name not in stated or "NEEDS." in stated[name], name


@pytest.mark.parametrize("rule", AT_WORK)
def test_what_is_seen_of_files_depends_on_wildcards_alone(rule: str) -> None:
    # Snakemake re-runs nothing for a param whose function takes `input`.
    assert "seen=lambda w, input" not in section(RULES[rule], "params")


def test_a_title_may_begin_with_a_hyphen() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in FILES)
    assert text.count("--title") == text.count("--title=") == 3


def test_no_artwork_takes_the_name_of_a_folder_of_the_rules() -> None:
    folders = {
        folder
        for text in RULES.values()
        for key in ("input", "output", "log", "benchmark")
        for folder in re.findall(r"\{RESULTS\}/(?:(?:logs|benchmarks)/)?(\w+)[/\"]", section(text, key))
    }
    assert {"shared", "report", "prepare", "train"} <= folders
    assert folders | {"logs", "benchmarks"} == {*RESERVED_NAMES}


@pytest.mark.parametrize("rule", sorted(RULES.keys() - WITHOUT_COMMAND))
def test_a_rule_runs_one_command_of_the_package(rule: str) -> None:
    verbs = re.findall(r"exec impasto --end-with-parent ([a-z-]+)", section(RULES[rule], "shell"))
    assert len(verbs) == 1
    assert verbs[0] in COMMANDS


def test_only_jobs_of_one_artwork_are_grouped() -> None:
    """A group ends at its first failure, and Snakemake removes what all its jobs have made."""
    profiles = clusters()
    assert profiles.keys() == {"slurm", "kubernetes"}
    for profile in profiles.values():
        assert profile["groups"].keys() <= RULES.keys()
        for rule in profile["groups"]:
            assert "{{artwork}}" in section(RULES[rule], "output"), rule
            assert rule not in ON_A_DEVICE, rule
        # What would put several artworks into one.
        assert "group-components" not in profile
    assert profiles["slurm"]["groups"] == profiles["kubernetes"]["groups"]


def test_one_bad_artwork_never_stops_the_others() -> None:
    every = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in PROFILES.glob("*/config.yaml")]
    assert [profile["keep-going"] for profile in every] == [True] * 3


def test_gpus_that_share_an_image_are_asked_for_on_one_machine() -> None:
    stated = clusters()["slurm"]["set-resources"]
    assert stated == {rule: {"nodes": 1} for rule in ("stylise", "refine", "mix", "train")}
