"""The lock of exact versions: complete, hashed, without addresses, within what pyproject.toml asks for."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from running import REPOSITORY

LOCK = REPOSITORY / "profiles" / "requirements.lock"
EXTRAS = ("slurm", "kubernetes", "s3")
"""What pyproject.toml offers to users beside the package itself."""
ENVIRONMENTS = [
    {"python_full_version": f"{python}.0", "python_version": python, "sys_platform": "linux",
     "platform_system": "Linux", "platform_machine": machine}
    for python in ("3.11", "3.12", "3.13") for machine in ("x86_64", "aarch64")
]  # fmt: skip


def entries() -> list[tuple[Requirement, list[str]]]:
    """Each pinned package, and the hashes of its files."""
    text = re.sub(r"^#.*\n", "", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = []
    for line in text.replace("\\\n", "").splitlines():
        if line.strip():
            requirement, *hashes = re.split(r"\s+--hash=", line.strip())
            found.append((Requirement(requirement), hashes))
    return found


def markers(environment: dict[str, str]) -> dict[str, str]:
    return {**{key: str(value) for key, value in default_environment().items()}, **environment}


def asked_for() -> list[Requirement]:
    """What the package and its extras ask for."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    return [Requirement(line) for line in lines]


@cache
def installed_needs(name: str, version: str) -> list[Requirement]:
    """What an installed package asks for; nothing where it is not installed in that version."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return []
    return list(map(Requirement, found.requires or [])) if found.version == version else []


def missing(
    versions: dict[str, str],
    here: dict[str, str],
    needs: Callable[[str, str], Sequence[Requirement]] = installed_needs,
) -> set[str]:
    """What packages of these versions need on a machine and is not among them, as NAME of NAME."""
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    ahead = [("impasto", requirement) for requirement in asked_for()]
    while ahead:
        above, requirement = ahead.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if name not in versions:
            found.add(f"{name} of {above}")
        elif (name, extras) not in seen:
            seen.add((name, extras))
            for below in needs(name, versions[name]):
                if any(
                    below.marker is None or below.marker.evaluate(here | {"extra": e}) for e in {"", *extras}
                ):
                    ahead.append((name, below))
    return found


def pinned(environment: dict[str, str]) -> dict[str, str]:
    """The version of each package on a machine; one that is pinned twice for it fails."""
    here = markers(environment)
    found: dict[str, str] = {}
    for requirement, _ in entries():
        if requirement.marker is None or requirement.marker.evaluate(here):
            name = canonicalize_name(requirement.name)
            assert name not in found, name
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            found[name] = specifier.version
    return found


@pytest.mark.parametrize(
    "environment", ENVIRONMENTS, ids=lambda e: " ".join((e["python_version"], e["platform_machine"]))
)
def test_it_fulfils_what_the_package_asks_for(environment: dict[str, str]) -> None:
    versions = pinned(environment)
    for asked in asked_for():
        version = versions.get(canonicalize_name(asked.name))
        assert version is not None, f"{asked.name} is missing: make profiles/requirements.lock anew"
        assert asked.specifier.contains(version), f"{asked} is not {version}"
    assert missing(versions, markers(environment)) == set()


def test_what_a_package_needs_is_missed_where_it_is_not_pinned() -> None:
    needs = {
        "pyvips": ["cffi", "pyvips-binary>=8; extra == 'binary'", "sphinx; extra == 'doc'"],
        "torch": ["filelock", "pywin32; sys_platform == 'win32'"],
        "boto3": ["botocore"],
        "cffi": ["pycparser"],
    }
    versions = {canonicalize_name(asked.name): "1" for asked in asked_for()} | {"cffi": "1"}
    found = missing(
        versions, markers(ENVIRONMENTS[0]), lambda name, _: [*map(Requirement, needs.get(name, ()))]
    )
    assert found == {"pyvips-binary of pyvips", "filelock of torch", "pycparser of cffi"}


def test_every_file_has_a_hash_and_none_an_address() -> None:
    found = entries()
    assert len(found) > 50
    for requirement, hashes in found:
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes)
        assert requirement.url is None
    assert "://" not in LOCK.read_text(encoding="utf-8")
    assert "index-url" not in re.sub("--no-emit-index-url", "", LOCK.read_text(encoding="utf-8"))


def test_the_containers_hold_what_is_locked_and_copy_what_is_there() -> None:
    container = REPOSITORY / "profiles" / "container"
    for recipe, copied in (("Dockerfile", "COPY "), ("impasto.def", "    ")):
        lines = (container / recipe).read_text(encoding="utf-8").splitlines()
        commands = [line[line.index("python -m pip") :] for line in lines if "python -m pip" in line]
        assert [shlex.split(command)[3:] for command in commands] == [
            shlex.split("install --no-cache-dir --require-hashes -r /opt/impasto/profiles/requirements.lock"),
            shlex.split("install --no-cache-dir --no-deps --no-build-isolation /opt/impasto"),
        ]
        *_, section = "\n".join(lines).partition("%files\n")
        words = [line.split() for line in (section or "\n".join(lines)).partition("\n\n%post")[0].splitlines()
                 if line.startswith(copied)]  # fmt: skip
        paths = {Path(word) for line in words for word in line if not word.startswith(("/", "COPY"))}
        assert all((REPOSITORY / path).exists() for path in paths), paths
        assert {Path("pyproject.toml"), Path("README.md"), Path("LICENSE"), Path("pipeline")} < paths
