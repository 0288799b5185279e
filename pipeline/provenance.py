"""What made a picture: the record that is written beside each output.

Nothing here names a person or a machine: no host or user names, and no absolute paths (a path that the user
wrote absolute is cut to its file name; its sha256 identifies it). Everything in a record is plain JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import math
import platform
import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, final

from pipeline.errors import InputError

# The wheel pyvips-binary carries libvips and has its version number.
_PACKAGES = {
    "impasto": "impasto",
    "torch": "torch",
    "pyvips": "pyvips",
    "libvips": "pyvips-binary",
    "numpy": "numpy",
    "snakemake": "snakemake",
}

# Convolutions and their rounding differ between processors that have and lack these.
_INSTRUCTION_SETS = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "amx_tile", "amx_bf16", "asimd", "asimdhp", "sve", "sve2", "bf16", "i8mm",
)  # fmt: skip


@final
@dataclasses.dataclass(frozen=True, slots=True)
class WeightsRecord:
    """A model file that took part: its registry name, the hash of its tensors, and whom to credit."""

    name: str
    sha256: str
    licence: str
    credit: str


@final
@dataclasses.dataclass(frozen=True, slots=True)
class LevelRecord:
    """What one level of the pyramid was and cost; flat, so that `LevelRecord(**json)` reads it back.

    Attributes:
        level_px: The square root of the level's area.
        height_px: Height of the level's image.
        width_px: Width of the level's image.
        tile_px: The largest side of a tile's core; None when the level was computed whole.
        iterations: Steps that the optimiser accepted.
        passes: The work done: forward and gradient passes over the image, counted together.
        loss_first: Loss of the level's start image; None where a trained network painted it.
        loss_last: Loss of the level's result; None there too, and where the last step was not checked.
        seconds: Wall time.
        peak_memory_mib: The process's peak at the end of the level.
    """

    level_px: int
    height_px: int
    width_px: int
    tile_px: int | None
    iterations: int
    passes: int
    loss_first: float | None
    loss_last: float | None
    seconds: float
    peak_memory_mib: float


def peak_memory_mib() -> float:
    """The most memory this process has held so far, in MiB (its resident set; not a GPU's memory)."""
    # Linux's ru_maxrss starts at what the parent held when it started this process; VmHWM does not.
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts in bytes, other systems in KiB.
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def file_sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal, read in small blocks whatever the file's size.

    Raises:
        InputError: There is no such file, or it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise InputError(as_written(path), expected="a file", found="nothing of that name") from None
    except IsADirectoryError:
        raise InputError(as_written(path), expected="a file", found="a folder") from None
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise InputError(as_written(path), expected="a readable file", found=found) from None


def as_written(path: str | PurePath) -> str:
    """The path with forward slashes; only its file name when it is absolute or starts at a home folder."""
    text = path.as_posix() if isinstance(path, PurePath) else path
    if text.startswith("~") or PurePosixPath(text).is_absolute():
        return PurePosixPath(text).name
    if PureWindowsPath(text).is_absolute():
        return PureWindowsPath(text).name
    return text


def versions() -> dict[str, str]:
    """The versions of Impasto, Python and the packages that decide pixels, without importing any of them."""
    found = {"python": platform.python_version()}
    for name, distribution in _PACKAGES.items():
        try:
            found[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def device_facts(device: str) -> dict[str, Any]:
    """The name and abilities of the device that computed: call it in the process that did.

    Args:
        device: `cpu`, `cuda`, `cuda:1` and the like.

    Returns:
        `device`, `name`, `threads`, `torch` (its build), `cpu_capability` (the instruction set that torch
        chose), `instruction_sets`, `platform`; for CUDA also `compute_capability`, `cuda` and `cudnn`.
    """
    import torch  # noqa: PLC0415 - planning and raster stages record themselves without it

    cpu_name, instruction_sets = _cpu_facts(_cpu_info())
    facts: dict[str, Any] = {
        "device": torch.device(device).type,
        "name": cpu_name,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "instruction_sets": instruction_sets,
        "platform": f"{platform.system()} {platform.machine()}",
    }
    if torch.device(device).type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        facts["name"] = torch.cuda.get_device_name(device)
        facts["compute_capability"] = f"{major}.{minor}"
        facts["cuda"] = torch.version.cuda
        facts["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return facts


def record(
    *,
    artwork: str,
    settings: Mapping[str, Any],
    seed: int,
    precision: str,
    device: Mapping[str, Any],
    versions: Mapping[str, str],
    weights: Iterable[WeightsRecord],
    levels: Sequence[LevelRecord],
    inputs: Mapping[str, Path],
    outputs: Mapping[str, Path],
    deviations: Sequence[str] = (),
    masks: Mapping[str, Any] | None = None,
    mixtures: Mapping[str, Any] | None = None,
    painting: Mapping[str, Any] | None = None,
    crop: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything that is needed to make the artwork again, as plain JSON values.

    Args:
        artwork: Its name in config.yaml.
        settings: The artwork's config values, defaults filled in.
        seed: The seed of its random numbers.
        precision: What was resolved for the highest level: `bfloat16` or `float32`.
        device: What `device_facts` returned where that was computed.
        versions: What `versions` returned there.
        weights: The model files that took part.
        levels: Lowest level first.
        inputs: The files read: the path as the user wrote it -> where the file lies.
        outputs: The files made, in the same form.
        deviations: Where the run left its plan, one sentence each.
        masks: What is known of each automatic mask, by its key.
        mixtures: What is known of each mixture of styles, by its key.
        painting: What is known of the trained network and what it painted, where one took part.
        crop: Which part of the content the print shows, where it does not show all of it.

    Raises:
        InputError: One of the inputs or outputs cannot be read.
        TypeError: A setting has a type that JSON cannot say.
    """
    return {
        "artwork": artwork,
        "settings": plain(settings),
        "seed": seed,
        "precision": precision,
        "device": plain(device),
        "versions": plain(versions),
        "weights": [plain(entry) for entry in weights],
        "levels": [plain(level) for level in levels],
        "masks": plain(masks or {}),
        "mixtures": plain(mixtures or {}),
        "painting": None if painting is None else plain(painting),
        "crop": None if crop is None else plain(crop),
        "inputs": file_records(inputs),
        "outputs": file_records(outputs),
        "deviations": list(deviations),
    }


def plain(value: Any) -> Any:
    """The value in JSON's types: dataclasses and mappings as objects, paths as `as_written`, enums by value.

    A float that is not finite becomes None, which JSON can say and NaN it cannot. Strings that are absolute
    paths are cut to their file name as well: that is how a config value names a file.

    Raises:
        TypeError: There is no such form.
    """
    result: Any
    if isinstance(value, Enum):
        result = plain(value.value)
    elif value is None or isinstance(value, bool | int):
        result = value
    elif isinstance(value, float):
        result = value if math.isfinite(value) else None
    elif isinstance(value, str | PurePath):
        result = as_written(value)
    elif isinstance(value, Mapping):
        result = {as_written(str(key)): plain(item) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        result = [plain(item) for item in value]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        result = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    else:
        raise TypeError(f"a provenance record cannot hold a {type(value).__name__}: {value!r}")
    return result


def file_records(paths: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Path as written, size and sha256 of each file.

    Raises:
        InputError: One of them cannot be read.
    """
    return [
        {"path": as_written(written), "bytes": size, "sha256": digest}
        for written, path in paths.items()
        for digest, size in [(file_sha256(path), path.stat().st_size)]
    ]


def _cpu_info() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cpu_facts(cpu_info: str) -> tuple[str, list[str]]:
    """The processor's name and its `_INSTRUCTION_SETS`, from the text of /proc/cpuinfo."""
    fields: dict[str, str] = {}
    for line in cpu_info.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    flags = set(fields.get("flags", fields.get("features", "")).split())
    return fields.get("model name") or platform.machine(), [
        name for name in _INSTRUCTION_SETS if name in flags
    ]
