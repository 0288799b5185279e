"""The report's viewer: fetched, checked, or told why it is not there. No network: npm is a script here."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipeline import viewer
from pipeline.errors import WeightsError
from pipeline.fetching.sources import NpmMember, ZipMember, obtain

SCRIPT = b"// a viewer\n"
SHA256 = hashlib.sha256(SCRIPT).hexdigest()
MEMBER = "package/build/viewer.min.js"


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An npm, alone on the path, that packs one archive: `package.tgz` beside it, if it is there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    packs = folder / "npm"
    packs.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != --pack-destination ]; do shift; done\n'
        f'/bin/cp {folder}/package.tgz "$2" 2> /dev/null && exit\n'
        'echo "npm error code E404" >&2; echo "npm error 404 Not Found: $3." >&2; exit 1\n'
    )
    packs.chmod(0o755)
    with tarfile.open(folder / "package.tgz", "w:gz") as archive:
        entry = tarfile.TarInfo(MEMBER)
        entry.size = len(SCRIPT)
        archive.addfile(entry, io.BytesIO(SCRIPT))
    monkeypatch.setenv("PATH", str(folder))
    return folder


def source(**changes: str) -> NpmMember:
    return NpmMember(**{"package": "viewer", "version": "1.0", "member": MEMBER, "sha256": SHA256} | changes)


def test_a_file_of_an_npm_package(npm: Path, tmp_path: Path) -> None:
    assert npm.is_dir()
    assert obtain(source(), tmp_path).read_bytes() == SCRIPT


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"member": "package/other.js"}, r"expected this file in its archive; found no such member"),
        ({"sha256": "0" * 64}, rf"expected a file with sha256 0+; found {SHA256}"),
    ],
)
def test_a_package_without_the_file_is_refused(
    npm: Path, tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    assert npm.is_dir()
    with pytest.raises(WeightsError, match=said):
        obtain(source(**changes), tmp_path)


def test_what_npm_complains_of_is_told(npm: Path, tmp_path: Path) -> None:
    (npm / "package.tgz").unlink()
    with pytest.raises(WeightsError, match=r"found 404 Not Found: viewer@1.0\. Check the network and npm's"):
        obtain(source(), tmp_path)


def test_a_damaged_package_is_told(npm: Path, tmp_path: Path) -> None:
    (npm / "package.tgz").write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="expected a readable archive"):
        obtain(source(), tmp_path)


def test_no_npm_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WeightsError, match="found no npm on this machine"):
        obtain(source(), tmp_path)


def test_a_file_of_a_zip_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/viewer.min.js", SCRIPT)
    found = ZipMember((tmp_path / "a.zip").as_uri(), "a/viewer.min.js", SHA256)
    assert obtain(found, tmp_path).read_bytes() == SCRIPT


def test_the_next_source_is_asked_and_in_the_end_the_reason_stands_in_the_files_place(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer, "SHA256", SHA256)
    monkeypatch.setattr(viewer, "SOURCES", (source(member="package/none.js"), source()))
    target = tmp_path / "made" / "viewer.js"
    assert viewer.fetch(target) == ""
    assert target.read_bytes() == SCRIPT
    assert viewer.is_here(target)
    (npm / "package.tgz").unlink()
    reason = viewer.fetch(target)
    assert reason.count("found 404 Not Found") == 2
    assert "\n" not in reason
    assert target.read_text() == f"// OpenSeadragon is not here: {reason}\n"
    assert not viewer.is_here(target)
    assert not viewer.is_here(tmp_path / "nowhere.js")


def test_a_file_of_the_users_must_be_the_pinned_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, target = tmp_path / "own.js", tmp_path / "made" / "viewer.js"
    with pytest.raises(WeightsError, match=r"own\.js: expected a file; found none"):
        viewer.fetch(target, own)
    own.write_bytes(SCRIPT)
    with pytest.raises(WeightsError, match=r"own\.js: expected a file with sha256 14d587cd"):
        viewer.fetch(target, own)
    assert not target.exists()
    monkeypatch.setattr(viewer, "SHA256", SHA256)
    assert viewer.fetch(target, own) == ""
    assert viewer.is_here(target)


def test_the_registrys_sources_hold_one_file() -> None:
    assert {source.sha256 for source in viewer.SOURCES if isinstance(source, NpmMember | ZipMember)} == {
        "14d587cd3ee7c4861f1a41077ce642029364a21029956ba635bd8fb1202cf9ad"
    }
    assert all("6.1.1" in str(source) for source in viewer.SOURCES)
