"""The lock of exact versions: complete, hashed, without addresses, within what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from running import REPOSITORY

LOCK = REPOSITORY / "profiles" / "requirements.lock"
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


def pinned(environment: dict[str, str]) -> dict[str, str]:
    """The version of each package on a machine; one that is pinned twice for it fails."""
    here: dict[str, str] = {
        **{key: str(value) for key, value in default_environment().items()},
        **environment,
    }
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
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = pinned(environment)
    for asked in map(Requirement, project["dependencies"]):
        version = versions.get(canonicalize_name(asked.name))
        assert version is not None, f"{asked.name} is missing: make profiles/requirements.lock anew"
        assert asked.specifier.contains(version), f"{asked} is not {version}"
        if "binary" in asked.extras:
            assert "pyvips-binary" in versions


def test_every_file_has_a_hash_and_none_an_address() -> None:
    found = entries()
    assert len(found) > 50
    for requirement, hashes in found:
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes)
        assert requirement.url is None
    assert "://" not in LOCK.read_text(encoding="utf-8")
    assert "index-url" not in re.sub("--no-emit-index-url", "", LOCK.read_text(encoding="utf-8"))
