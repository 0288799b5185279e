"""The figures of what a trained network painted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from networks import SMALL, make_random_weights

from pipeline import canvas
from pipeline.feedforward.record import ApplicationRecord, PaintingRecord
from pipeline.files import write_json
from pipeline.geometry import Size
from pipeline.machine import Machine
from pipeline.quality.judgement import judge
from pipeline.quality.task import LevelTask, RegionTask, StyleTask, Task
from pipeline.weights import CAFFE, Weights

SIDE = 128
LEARNT_PX = 64


def save_style(folder: Path) -> np.ndarray:
    """A style image of twice the size that its network learnt it at; and its pixels at that size."""
    values = np.random.default_rng(0).uniform(0.3, 0.7, (2 * LEARNT_PX, 2 * LEARNT_PX, 3))
    canvas.write(folder / "style.tif", values.astype(np.float32))
    canvas.resize(folder / "style.tif", folder / "small.tif", Size(LEARNT_PX, LEARNT_PX))
    return canvas.read(folder / "small.tif")


def figures(
    folder: Path,
    pixels: np.ndarray,
    colour: Literal["rgb", "luminance"],
    column_borders: tuple[int, ...] = (),
    planned_px: int = LEARNT_PX,
    **card: Any,
) -> dict[str, Any]:
    """Of an image that a network painted by one tile, in pieces that meet halfway down."""
    canvas.write(folder / "painted.tif", pixels)
    application = ApplicationRecord(
        height_px=SIDE,
        width_px=SIDE,
        moments="exact",
        deviation=None,
        tile_px=SIDE,
        row_borders=(SIDE // 2,),
        column_borders=column_borders,
        store="memory",
        seconds=1,
        megapixels_per_s=1,
        peak_memory_mib=1,
        precision="float32",
        device={},
        versions={},
    )
    record = PaintingRecord(
        application=application, colour="painted", model={"colour": colour, **card}, warnings=()
    )
    write_json(folder / "painted.json", record.model_dump(mode="json"))
    style = StyleTask(image=folder / "style.tif", mask=None, weight=1, area_px=planned_px)
    level = LevelTask(
        level_px=SIDE,
        content=folder / "painted.tif",
        result=folder / "painted.tif",
        record=folder / "painted.json",
        guides=None,
        regions=(RegionTask(label="everything", styles=(style,)),),
        painted=True,
    )
    tensors = {name: tensor.numpy() for name, tensor in make_random_weights(SMALL, 0, torch.float32).items()}
    return judge(
        Task(artwork="a", content=folder / "painted.tif", levels=(level,)),
        folder / "painted.tif",
        Weights(SMALL.name, tensors, CAFFE, "", {}),
        Machine(torch.device("cpu"), torch.float32, 1),
        folder / "scratch.tif",
    )


def test_a_style_is_seen_at_the_size_that_the_network_learnt_it_at(tmp_path: Path) -> None:
    learnt = save_style(tmp_path)
    tiled = np.tile(learnt, (2, 2, 1))
    found = figures(tmp_path, tiled, "rgb")
    assert found["figures"]["style_distance"] < 0.04


def test_what_the_network_says_of_its_styles_holds(tmp_path: Path) -> None:
    """Of a file the configuration may say another size."""
    tiled = np.tile(save_style(tmp_path), (2, 2, 1))
    other = figures(tmp_path, tiled, "rgb", planned_px=LEARNT_PX // 2)
    assert other["figures"]["style_distance"] > 0.08
    found = figures(tmp_path, tiled, "rgb", planned_px=LEARNT_PX // 2, settings={"style_px": LEARNT_PX})
    assert found["figures"]["style_distance"] < 0.04


def test_seams_are_looked_for_where_pieces_meet(tmp_path: Path) -> None:
    save_style(tmp_path)
    pixels = np.random.default_rng(0).random((SIDE, SIDE, 3)).astype(np.float32) * 0.1
    pixels[:, 60:] += 0.5
    found = figures(tmp_path, pixels, "rgb")
    (joints,) = found["seams"]
    assert (joints["level_px"], joints["samples"]) == (SIDE, SIDE)
    assert 0.8 < joints["ratio"] < 1.2
    (joints,) = figures(tmp_path, pixels, "rgb", (60,))["seams"]
    assert joints["samples"] == 2 * SIDE
    assert joints["ratio"] > 3


def test_a_network_of_luminance_is_judged_by_luma(tmp_path: Path) -> None:
    learnt = save_style(tmp_path)
    grey = np.repeat((learnt @ np.array([0.299, 0.587, 0.114], dtype=np.float32))[..., None], 3, axis=2)
    # A blue cast whose luma is zero, as a photograph's own colours may be.
    cast = np.array([0.0, -0.114, 0.587], dtype=np.float32) * 0.3
    shown = np.tile(grey + cast, (2, 2, 1))
    by_luma, by_colour = (
        figures(tmp_path, shown, colour)["figures"]["style_distance"] for colour in ("luminance", "rgb")
    )
    assert by_luma < 0.04
    assert by_colour > 3 * by_luma, (by_colour, by_luma)
