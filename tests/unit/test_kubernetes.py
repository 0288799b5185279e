"""What the Kubernetes profile's commands ask of kubectl: a program in its place notes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PROFILE = Path(__file__).parents[2] / "profiles/kubernetes"


@pytest.fixture
def kubectl(tmp_path: Path) -> Path:
    """A folder with a `kubectl` that leaves its words and standard input there and answers what it holds."""
    program = tmp_path / "kubectl"
    program.write_text(
        '#!/bin/sh\ncd "${0%/*}"\nprintf "%s\\n" "$@" > words\n'
        '[ "$1" = create ] && cat > given\ncat answer && exit "$(cat code)"\n'
    )
    program.chmod(0o755)
    answers(tmp_path, "")
    return tmp_path


def answers(folder: Path, answer: str, code: int = 0) -> None:
    (folder / "answer").write_text(answer)
    (folder / "code").write_text(str(code))


def run(folder: Path, command: str, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [str(PROFILE / command), *words],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def submitted(kubectl: Path, **resources: Any) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """What became of a job that asks for these, and what Kubernetes was given."""
    asked = {"threads": 3, "resources": {"mem_mb": 2960, "runtime": 11, "disk_mb": 64, **resources}}
    script = kubectl / "snakejob.sh"
    script.write_text(f"#!/bin/sh\n# properties = {json.dumps(asked)}\ncd /x && true\n")
    done = run(kubectl, "submit", script.name)
    return done, json.loads((kubectl / "given").read_text())


def test_a_job_asks_for_what_its_rule_states(kubectl: Path) -> None:
    answers(kubectl, "impasto-4xk2p")
    done, job = submitted(kubectl, gpu=2)
    assert (done.returncode, done.stdout) == (0, "impasto-4xk2p")
    assert (kubectl / "words").read_text().split() == [
        *("create", "--filename", "-", "--output", "jsonpath={.metadata.name}"),
    ]
    assert (job["kind"], job["metadata"]) == ("Job", {"generateName": "impasto-"})
    assert job["spec"]["backoffLimit"] == 0
    pod = job["spec"]["template"]["spec"]
    assert (pod["restartPolicy"], pod["activeDeadlineSeconds"]) == ("Never", 660)
    (container,) = pod["containers"]
    assert container["command"] == ["/bin/sh", str(kubectl / "snakejob.sh")]
    assert container["resources"] == {
        "requests": {"cpu": 3, "memory": "2960Mi"},
        "limits": {"memory": "2960Mi", "nvidia.com/gpu": 2},
    }
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("resources", [{}, {"gpu": 0}])
def test_a_job_without_a_device_asks_for_none(kubectl: Path, resources: dict[str, int]) -> None:
    answers(kubectl, "", code=1)
    done, job = submitted(kubectl, **resources)
    assert done.returncode == 1
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "2960Mi"}


@pytest.mark.parametrize(
    ("answer", "code", "word"),
    [
        ("impasto-a//", 0, "running"),
        ("impasto-a/1/", 0, "success"),
        ("impasto-a//1", 0, "failed"),
        # Somebody has deleted it.
        ("", 0, "failed"),
        # The cluster does not answer: Snakemake asks again.
        ("", 1, "running"),
    ],
)
def test_what_has_become_of_a_job(kubectl: Path, answer: str, code: int, word: str) -> None:
    answers(kubectl, answer, code)
    done = run(kubectl, "status", "impasto-a")
    assert (done.returncode, done.stdout) == (0, f"{word}\n")
    assert (kubectl / "words").read_text().split()[:3] == ["get", "job", "impasto-a"]


def test_jobs_are_cancelled_without_waiting(kubectl: Path) -> None:
    assert run(kubectl, "cancel", "impasto-a", "impasto-b").returncode == 0
    assert (kubectl / "words").read_text().split() == [
        *("delete", "job", "--ignore-not-found", "--wait=false", "impasto-a", "impasto-b"),
    ]


def test_pods_have_the_volume_and_an_image_with_packages_of_its_own() -> None:
    profile = yaml.safe_load((PROFILE / "config.yaml").read_text(encoding="utf-8"))
    for verb in ("submit", "status", "cancel"):
        assert profile[f"cluster-generic-{verb}-cmd"] == f"profiles/kubernetes/{verb}"
        assert os.access(PROFILE / verb, os.X_OK)
    # With `software-deployment` jobs would look for the Python of the machine where Snakemake runs.
    assert profile["shared-fs-usage"] == ["input-output", "persistence", "sources"]
