"""The figures of an artwork: how each is had from its files, and which limits they miss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray

from pipeline import canvas
from pipeline.canvas import Mask
from pipeline.colour import LUMA_WEIGHTS
from pipeline.evaluation import (
    STRIDE_PX,
    STYLE_LAYERS,
    Gram,
    Picture,
    distance,
    gram_matrices,
    similarities,
)
from pipeline.feedforward.record import read_painting
from pipeline.files import scratch_path
from pipeline.geometry import Box, Size
from pipeline.machine import Machine
from pipeline.quality.colours import distribution_distance, mean_over
from pipeline.quality.seams import Read, seams
from pipeline.quality.task import LevelTask, StyleTask, Task
from pipeline.rendering.record import read_record
from pipeline.weights import Weights

EVERYTHING = "everything"
_WHOLE_AREA_PX = 512 * 640
_CORE_PX = 256
_CORES = 6
_ENOUGH = 0.2
_COLOUR_PX = 96
_STYLE_COLOUR_PX = 128
_OTHER_SHAPE = 1.02
_SEED = 7


def judge(task: Task, assembled: Path, weights: Weights, machine: Machine, scratch: Path) -> dict[str, Any]:
    """The figures of an artwork, as plain JSON; what they are is told in `pipeline/guide/printing.md`.

    The network sees images of up to a third of a megapixel whole, of larger ones six squares of 256 px,
    always the same ones, among them some of each region, however small. Colours are compared at about
    96 px. Seams and clipping are counted over all pixels.

    Args:
        task: The artwork's files.
        assembled: Its image as it is printed, before rounding.
        weights: The plain network.
        machine: Where the network runs, and how precisely.
        scratch: Where intermediate files may lie, by its name.

    Raises:
        InputError: A file cannot be read.
    """
    top = task.levels[-1]
    scales = [_style_distances(level, top.result, weights, machine, scratch) for level in task.levels]
    content = _content(task.levels[0], top.result, weights, machine, scratch)
    colour = _colours(task, assembled)
    joints = _seams(task)
    clipped = canvas.clipped_shares(assembled)
    figures = {
        "style_distance": _worst(entry["distance"] for entry in scales[-1]["regions"].values()),
        "content_similarity": content["similarity"],
        "colour_to_content": _worst(entry["to_content"] for entry in colour.values()),
        "colour_to_style": _worst(entry["to_style"] for entry in colour.values()),
        "seams": _worst(entry["excess"] for entry in joints),
        "clipping": clipped.either,
    }
    return {
        "artwork": task.artwork,
        "network": weights.name,
        "weights_sha256": weights.tensors_sha256,
        "figures": figures,
        "style": scales,
        "content": content,
        "colour": colour,
        "seams": joints,
        "clipping": {"dark": clipped.dark, "light": clipped.light},
    }


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _style_distances(
    level: LevelTask, result: Path, weights: Weights, machine: Machine, scratch: Path
) -> dict[str, Any]:
    """The style distance of each region at one scale: the result shrunk to it, the styles as used there."""
    with scratch_path(scratch, "scale") as scaled:
        image = _at_size(result, canvas.size_of(level.result), scaled)
        card = read_painting(level.record).model if level.painted else {}
        luma = card.get("colour") == "luminance"
        names = [region.label for region in level.regions]
        found = _grams(image, level.guides, names, weights, machine, luma=luma)
        size = canvas.size_of(image)
    regions: dict[str, dict[str, Any]] = {}
    for region, gram in zip(level.regions, found, strict=True):
        # Of a network in a file the configuration may not say the size at which it learnt its styles.
        learnt_px = card.get("settings", {}).get("style_px")
        styles = [style.model_copy(update={"area_px": learnt_px or style.area_px}) for style in region.styles]
        wanted = _style_gram(styles, weights, machine, scratch, luma=luma)
        if not wanted.keys() & gram.keys():
            regions[region.label] = {"distance": None, "layers": {}, "left_out": list(STYLE_LAYERS)}
            continue
        apart = distance(gram, wanted)
        regions[region.label] = {
            "distance": apart.value,
            "layers": dict(apart.layers),
            "left_out": list(apart.left_out),
        }
    return {
        "level_px": level.level_px,
        "size_px": [size.height, size.width],
        "sampled": size.area > _WHOLE_AREA_PX,
        "regions": regions,
    }


def _at_size(image: Path, size: Size, scratch: Path) -> Path:
    if canvas.size_of(image) == size:
        return image
    canvas.resize(image, scratch, size)
    return scratch


def _style_gram(
    styles: Sequence[StyleTask], weights: Weights, machine: Machine, scratch: Path, *, luma: bool
) -> dict[str, Gram]:
    """The weighted mean of the styles' Gram matrices, over the layers that all of them have."""
    total = sum(style.weight for style in styles)
    found: list[dict[str, Gram]] = []
    for style in styles:
        with scratch_path(scratch, "style") as scaled, scratch_path(scratch, "style-mask") as masks:
            size, guides = canvas.size_of(style.image), None
            if style.area_px is not None:
                size = size.of_area(style.area_px)
            image = _at_size(style.image, size, scaled)
            if style.mask is not None:
                canvas.compose_guides([Mask.parse(style.mask)], masks, size)
                guides = masks
            found += _grams(image, guides, [EVERYTHING], weights, machine, luma=luma)
    layers = [layer for layer in found[0] if all(layer in gram for gram in found)]
    return {
        layer: sum(
            (gram[layer] * (style.weight / total) for gram, style in zip(found, styles, strict=True)),
            start=torch.zeros((), dtype=torch.float64),
        )
        for layer in layers
    }


def _grams(
    image: Path,
    guides: Path | None,
    names: Sequence[str],
    weights: Weights,
    machine: Machine,
    *,
    luma: bool,
) -> list[dict[str, Gram]]:
    picture, masks = _pictures(image, guides, len(names), luma=luma)
    cores = _cores(picture.size, guides, len(names))
    return gram_matrices(
        picture,
        weights,
        masks,
        names=names,
        cores=cores,
        dtype=machine.dtype,
        device=machine.device,
        least=False,
    )


def _pictures(
    image: Path, guides: Path | None, regions: int, *, luma: bool = False
) -> tuple[Picture, Picture | None]:
    def read(box: Box) -> Float32[ndarray, "height width 3"]:
        pixels = canvas.read(image, box)[..., :3].clip(0, 1)
        return _as_luma(pixels) if luma else pixels

    size = canvas.size_of(image)
    picture = Picture(size, read)
    if guides is None:
        return picture, None
    return picture, Picture(size, lambda box: canvas.read(guides, box)[..., :regions])


def _as_luma(pixels: Float32[ndarray, "height width 3"]) -> Float32[ndarray, "height width 3"]:
    """The Rec.601 luma in three equal channels."""
    luma = pixels @ np.array(LUMA_WEIGHTS, dtype=np.float32)
    return np.repeat(luma[..., None], 3, axis=2)


def _cores(size: Size, guides: Path | None, regions: int) -> list[Box] | None:
    """Squares of a large image, for each region some that it has its share of, or most; None for a small."""
    if size.area <= _WHOLE_AREA_PX:
        return None
    rows, columns = -(-size.height // _CORE_PX), -(-size.width // _CORE_PX)
    order = np.random.default_rng(_SEED).permutation(rows * columns)
    chosen = list(range(min(_CORES, len(order))))
    if guides is not None:
        shares = canvas.read_square_shares(guides, _CORE_PX)[..., :regions].reshape(len(order), -1)[order]
        chosen = _chosen(shares) or chosen
    return [_square(*divmod(int(order[index]), columns), size) for index in chosen]


def _chosen(shares: Float32[ndarray, "squares regions"]) -> list[int]:
    """For each region the first squares with enough of it; where those are too few, the ones with most."""
    chosen: list[int] = []
    each = max(2, _CORES // shares.shape[1])
    for region in shares.T:
        found = np.flatnonzero(region >= _ENOUGH)[:each]
        if len(found) < each:
            most = np.argsort(-region, kind="stable")[:each]
            found = most[region[most] > 0]
        chosen += map(int, found)
    return list(dict.fromkeys(chosen))


def _square(row: int, column: int, size: Size) -> Box:
    # What the network reads is padded to its stride, and so is the last square.
    square = Box(row * _CORE_PX, column * _CORE_PX, (row + 1) * _CORE_PX, (column + 1) * _CORE_PX)
    return square.grown(0, within=size.aligned_up(STRIDE_PX))


def _content(
    level: LevelTask, result: Path, weights: Weights, machine: Machine, scratch: Path
) -> dict[str, Any]:
    """How like the content's the shapes are, at the lowest level's scale."""
    labels = [region.label for region in level.regions] if level.guides is not None else []
    with scratch_path(scratch, "content") as scaled:
        image = _at_size(result, canvas.size_of(level.result), scaled)
        ours, masks = _pictures(image, level.guides, len(labels))
        theirs, _ = _pictures(level.content, None, 0)
        whole, *parts = similarities(
            ours,
            theirs,
            weights,
            masks,
            cores=_cores(ours.size, level.guides, len(labels)),
            dtype=machine.dtype,
            device=machine.device,
        )
    return {
        "level_px": level.level_px,
        "similarity": whole,
        "regions": dict(zip(labels, parts, strict=True)),
    }


def _colours(task: Task, assembled: Path) -> dict[str, Any]:
    """For each region, how far its colours, where they are seen, are from the content's and its style's."""
    top = task.levels[-1]
    whole = canvas.size_of(assembled)
    size = _small(whole, _COLOUR_PX)
    content = task.content if _same_shape(canvas.size_of(task.content), whole) else top.content
    found = canvas.read_lab(assembled, size)
    apart = canvas.colour_differences(found.lab, canvas.read_lab(content, size).lab)
    if top.guides is None:
        shares: Float32[ndarray, "height width regions"] = np.ones((*apart.shape, 1), dtype=np.float32)
    else:
        shares = canvas.read_shares(top.guides, size)
    shares = shares * found.opacity[..., None]
    regions = {}
    for region, share in zip(top.regions, np.moveaxis(shares, 2, 0), strict=True):
        wanted, weights = _style_colours(region.styles)
        regions[region.label] = {
            "to_content": mean_over(apart, share),
            "to_style": distribution_distance(found.lab.reshape(-1, 3), wanted, share.ravel(), weights),
        }
    return regions


def _style_colours(
    styles: Sequence[StyleTask],
) -> tuple[Float32[ndarray, "count 3"], Float32[ndarray, " count"]]:
    """The colours of a region's styles, and what each weighs."""
    colours, weights = [], []
    for style in styles:
        size = _small(canvas.size_of(style.image), _STYLE_COLOUR_PX)
        seen = canvas.read_lab(style.image, size)
        share = seen.opacity.ravel()
        if style.mask is not None:
            share = share * canvas.read_mask(Mask.parse(style.mask), size).ravel()
        total = float(share.sum(dtype=np.float64))
        colours.append(seen.lab.reshape(-1, 3))
        weights.append(share * (style.weight / total if total else 0.0))
    return np.concatenate(colours), np.concatenate(weights).astype(np.float32)


def _small(size: Size, side_px: int) -> Size:
    longer = max(size.height, size.width)
    scale = min(1.0, side_px / longer)
    return Size(max(1, round(size.height * scale)), max(1, round(size.width * scale)))


def _same_shape(first: Size, second: Size) -> bool:
    ratio = (first.height * second.width) / (second.height * first.width)
    return max(ratio, 1 / ratio) < _OTHER_SHAPE


def _reader(path: Path) -> Read:
    return lambda box: canvas.read(path, box)[..., :3]


def _seams(task: Task) -> list[dict[str, Any]]:
    """The seams of each level that was made in tiles and has enough of their borders to tell."""
    found = []
    for level in task.levels:
        size = canvas.size_of(level.result)
        record = read_painting(level.record).application if level.painted else read_record(level.record)
        joints = seams(_reader(level.result), size, record.row_borders, record.column_borders)
        if joints is not None:
            found.append({"level_px": level.level_px, **asdict(joints), "excess": joints.excess})
    return found
