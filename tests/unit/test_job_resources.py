"""What jobs ask of a scheduler."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.collection import resolve_collection
from pipeline.disk import rendering_mib
from pipeline.geometry import Size
from pipeline.job_resources import JobResources, Need

# Files are laid out in tiles of 256 px.
SIZES = {"c.png": Size(4000, 6000), "s.png": Size(512, 512), "t.png": Size(512, 512)}
TWO = [{"where": "person", "style": "s.png"}, {"where": "background", "style": "t.png"}]


def resources(compute: dict[str, Any] | None = None, **artwork: Any) -> JobResources:
    artworks = {"a": {"content": "c.png", "levels": [512, 4096], **({"style": "s.png"} | artwork)}}
    raw = {"compute": compute or {}, "artworks": artworks}
    return JobResources(resolve_collection(raw, lambda path: SIZES[Path(path).name]))


def key_of(keys: Any, start: str) -> str:
    (found,) = (key for key in keys if key.startswith(start))
    return str(found)


def test_raster_stages_ask_for_time_and_disk_by_the_size_of_their_image() -> None:
    found = resources()
    # 24 megapixels at a second each, begun minutes counted; 4096x6144 px of three 16-bit bands.
    assert found.prepare(key_of(found.collection.sources, "c-")) == Need(1024, 11, 144)
    assert found.prepare(key_of(found.collection.sources, "s-")) == Need(1024, 11, 2)
    # The level is 3344x5017 px, its file 3584x5120 of three float32.
    assert found.upsample("a", 4096) == Need(1024, 11, 210)
    # In its own colours an image has 16 bits.
    assert found.recolour(key_of(found.collection.images, "c-3344x5017")) == Need(1024, 11, 105)
    assert found.finish("a") == Need(1024, 11, 280)
    assert found.report() == Need(1025, 10, 2)
    assert found.deliver("report.html") == Need(256, 10, 2)
    # A TIFF of four 8-bit bands, and its smaller copies.
    assert found.print("a", "tif") == Need(1024, 11, 94)
    assert found.deliver("a/print.tif") == Need(256, 10, 94)


def test_a_print_is_held_with_its_paper_where_its_writer_holds_it() -> None:
    # The picture is 4000x6000 px of a sheet of 12000x6000.
    sheet = {"width": "6000 px", "height": "12000 px", "fit": "pad", "format": ["webp", "avif"]}
    found = resources(levels=None, print=sheet)
    megapixels = 12000 * 6000 / 2**20
    assert found.print("a", "webp").mib == 1024 + int(16 * megapixels)
    assert found.print("a", "avif").mib == 1024 + int(24 * megapixels)
    assert found.print("a", "webp").minutes == 13


def test_files_that_a_job_deletes_again_count() -> None:
    # Beside the assembled image, the content's chroma and the two together: three float32 each.
    assert resources(colour={"mode": "luminance"}).assemble("a").disk_mib == 700
    assert resources().assemble("a").disk_mib == 280
    grown = [{"grow": "12 px", "of": name} for name in ("person", "subject", "s.png")]
    regions = [{"where": {"union": grown}, "style": "s.png", "name": "x"}]
    found = resources(regions=regions, style=None)
    (mask,) = found.collection.combinations
    assert found.combine(mask).disk_mib == 8 * 4096 * 6144 // 2**20


def test_masks_ask_for_their_networks_memory() -> None:
    found = resources(regions=TWO, style=None)
    (mask,) = found.collection.masks
    assert found.segment(mask) == Need(2560, 41, 24, threads=2)
    assert found.guide("a", 4096) == Need(1024, 11, 70)


def test_levels_and_statistics_ask_for_devices_unless_the_processor_computes() -> None:
    found = resources()
    level = found.collection.level("a", 4096)
    assert level.processes == 1
    # A start, begun minutes of reading 17 megapixels, and a twentieth of what a processor is given.
    minutes = 10 + 1 + math.ceil((level.runtime_min - 10) / 20)
    expected = Need(level.memory_mib, minutes, rendering_mib(level), gpus=1, threads=2)
    assert found.level("a", 4096) == expected
    statistics = key_of(found.collection.targets, "s-512x512")
    # Two times four seconds for each of 0.26 megapixels.
    assert found.targets(statistics) == Need(2560, 11, 64, gpus=1)
    on_processor = resources({"device": "cpu", "threads": 3})
    assert (on_processor.level("a", 4096).gpus, on_processor.level("a", 4096).threads) == (0, 3)
    assert on_processor.level("a", 4096).minutes == level.runtime_min
    assert on_processor.targets(statistics).gpus == 0


def test_a_level_that_is_shared_asks_for_all_its_devices() -> None:
    found = resources({"devices": 8})
    # 512 px: 418 rows of which strips hold 64 more on each inner side; 4096 px: enough for all.
    assert [found.level("a", px).gpus for px in (512, 4096)] == [2, 8]
    assert found.level("a", 4096).threads == 16
    assert found.level("a", 4096).mib == found.collection.level("a", 4096).memory_mib
    assert resources({"devices": 8}, devices=1).level("a", 4096).gpus == 1
    mixed = resources(devices=2, style={"image": "s.png", "fine": "t.png"})
    assert {mixed.mix(key).gpus for key in mixed.collection.mixes} == {2}


def test_on_a_gpu_jobs_ask_for_what_clusters_grant() -> None:
    levels = [512, {"px": 8192, "iterations": 60}, {"px": 32768, "iterations": 30}]
    gpu, processor = (resources({"device": device}, levels=levels) for device in ("auto", "cpu"))
    # 67 megapixels, and 1074: hours instead of days.
    assert gpu.level("a", 8192).minutes < 4 * 60 < 48 * 60 < processor.level("a", 8192).minutes
    # More than a hundred times what is aimed at, 100 megapixel-iterations a second.
    assert 100 * 1074 * 30 / 100 / 60 < gpu.level("a", 32768).minutes < 25 * 60


def test_the_reports_needs_grow_with_the_collection() -> None:
    artworks = {
        f"a{number}": {"content": "c.png", "style": "s.png", "levels": [512]} for number in range(120)
    }
    found = JobResources(resolve_collection({"artworks": artworks}, lambda path: SIZES[Path(path).name]))
    assert found.report() == Need(1084, 12, 121)


def test_further_attempts_ask_for_more_and_all_for_what_stands_around_a_command() -> None:
    need = Need(1001, 30, 7)
    # 400 MiB more than the command's.
    assert [need.memory_mib(attempt) for attempt in (1, 2, 3)] == [1401, 2102, 2802]
    assert [need.runtime_min(attempt) for attempt in (1, 2, 3)] == [30, 45, 60]


@pytest.mark.parametrize(
    ("device", "cuda", "local", "gpus"),
    [
        ("auto", False, True, 0),
        ("auto", True, True, 1),
        ("auto", False, False, 1),
        ("cuda", False, False, 1),
        ("cpu", True, True, 0),
        ("cpu", True, False, 0),
    ],
)
def test_small_jobs_hold_a_device_only_where_one_may_be(
    monkeypatch: pytest.MonkeyPatch, device: str, cuda: bool, local: bool, gpus: int
) -> None:
    monkeypatch.setattr("pipeline.job_resources.has_cuda_device", lambda: cuda)
    assert resources({"device": device}).target_gpus(local=local) == gpus
