from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.budget import Demand, DoesNotFitError, Tiling, computed_share, kept_share, tiling
from pipeline.config.models import ArtworkSettings, Defaults
from pipeline.config.sections import Network, Optimiser
from pipeline.costs import (
    activation_bytes_per_px,
    content_values_per_px,
    kept_bytes_per_px,
    saved_bytes_per_px,
    vector_bytes_per_px,
)
from pipeline.geometry import Size
from pipeline.pyramid import Level
from pipeline.tiles import cut

PERSON = {"where": "person", "style": "s.png"}
BACKGROUND = {"where": "background", "style": "s.png"}


def artwork(**values: Any) -> ArtworkSettings:
    return Defaults.model_validate(values)


def cut_up(level: Level, settings: ArtworkSettings, budget_mib: int) -> Tiling:
    demand = Demand(settings.network, settings.optimiser, settings.guidance_channels, iterations=50)
    return tiling(level, demand, budget_mib)


@pytest.mark.parametrize(
    ("size", "regions", "found"),
    [
        (Size(512, 512), [], Tiling(None, 64, 0, "memory", 636, 1336, 45, 16)),
        (Size(512, 512), [PERSON, BACKGROUND], Tiling(None, 64, 0, "memory", 638, 1338, 45, 16)),
        (Size(1024, 1024), [], Tiling(None, 64, 0, "memory", 2544, 3244, 180, 35)),
        (Size(1024, 1024), [PERSON, BACKGROUND], Tiling(None, 64, 0, "memory", 2552, 3252, 180, 35)),
        (Size(2048, 2048), [], Tiling(960, 64, 0, "memory", 3274, 3974, 4 * 180, 180)),
        (Size(3008, 3008), [], Tiling(720, 64, 0, "memory", 2857, 3557, 1554, 424)),
        (Size(2048, 2048), [PERSON, BACKGROUND], Tiling(960, 64, 0, "memory", 3292, 3992, 4 * 180, 180)),
        (Size(8192, 8192), [], Tiling(1008, 64, 0, "files", 2959, 3659, 64 * 108, 2983)),
    ],
)
def test_the_tiling_that_a_budget_affords(size: Size, regions: list[Any], found: Tiling) -> None:
    assert cut_up(Level(size.height, size), artwork(regions=regions), 4096) == found


def test_bfloat16_that_is_asked_for_takes_larger_tiles() -> None:
    own, level = artwork(), Level(8192, Size(8192, 8192))

    def cut_in(precision: Any) -> Tiling:
        demand = Demand(own.network, own.optimiser, own.guidance_channels, 50, precision)
        return tiling(level, demand, 4096)

    auto, short = cut_in("auto"), cut_in("bfloat16")
    assert cut_in("float32") == auto
    assert (auto.tile_core_px, short.tile_core_px) == (1008, 1344)
    assert max(auto.memory_mib, short.memory_mib) <= 4096


def test_no_tile_is_larger_than_a_gpu_s_kernels_count() -> None:
    def core_px(side_px: int) -> int | None:
        demand = Demand(Network(), Optimiser(), 0, 10, "bfloat16")
        return tiling(Level(side_px, Size(side_px, side_px)), demand, 300_000).tile_core_px

    # 64 values per pixel: 5792 x 5792 px have 2,147,024,896 of them, and 2^31 - 1 can be counted.
    assert [core_px(side_px) for side_px in (5792, 5808, 16384)] == [None, 2848, 5424]


def test_vectors_go_to_the_hosts_memory_before_they_go_to_files() -> None:
    own, level = artwork(), Level(8192, Size(8192, 8192))
    demand = Demand(own.network, own.optimiser, own.guidance_channels, iterations=50)
    in_files = tiling(level, demand, 4096)
    assert tiling(level, demand, 4096, host_budget_mib=64 * 108 - 1) == in_files
    on_host = tiling(level, demand, 4096, host_budget_mib=64 * 108)
    # The same tiles; the job asks for that much more memory, and for the disk of saved states.
    assert (on_host.store, on_host.memory_mib) == ("host", in_files.memory_mib + 64 * 108)
    assert on_host.disk_mib == 64 * saved_bytes_per_px(own.optimiser, 50)
    tiles = (on_host.tile_core_px, on_host.keep_tiles, on_host.device_mib)
    assert tiles == (in_files.tile_core_px, in_files.keep_tiles, in_files.device_mib)
    # Of several devices, what lies in their own memory is looked at first.
    small = Level(512, Size(512, 512))
    assert tiling(small, demand, 4096, host_budget_mib=10**6).store == "memory"
    assert tiling(level, demand, 4096, devices=2, host_budget_mib=64 * 108).store == "files"


def test_tiles_are_kept_where_that_computes_less() -> None:
    level = Level(1280, Size(1280, 1280))
    found = cut_up(level, artwork(), 4096)
    # 2 x 2 tiles either way: of the largest that fit one at a time, or of smaller ones, of which three stay.
    assert (found.tile_core_px, found.keep_tiles, found.store) == (576, 3, "memory")
    whole = cut_up(level, artwork(), 16384)
    assert (whole.tile_core_px, whole.keep_tiles) == (None, 0)


def test_the_halo_is_the_deepest_layers() -> None:
    def halo(**network: Any) -> int:
        return cut_up(Level(512, Size(512, 512)), artwork(network=network), 4096).halo_px

    assert halo() == 64
    assert halo(name="vgg19") == 80
    assert halo(style_layers=["relu1_1", "relu4_1"]) == 40
    assert halo(style_layers=["relu1_1", "relu4_1"], content_layers=[]) == 32


def test_a_budget_below_the_smallest_tile_is_refused_with_the_one_that_would_do() -> None:
    level = Level(4096, Size(4096, 4096))
    for budget in (800, 850):
        with pytest.raises(DoesNotFitError) as caught:
            cut_up(level, artwork(), budget)
        assert (caught.value.key, caught.value.needed, caught.value.found, caught.value.level) == (
            "memory_budget_mib",
            "851",
            str(budget),
            level,
        )
    assert cut_up(level, artwork(), 851).tile_core_px == 128


@settings(max_examples=200, deadline=None)
@given(
    height=st.integers(64, 20_000),
    width=st.integers(64, 20_000),
    budget=st.integers(1024, 65_536),
    regions=st.sampled_from([[], [PERSON], [PERSON, BACKGROUND]]),
    style_layers=st.sampled_from([("relu1_1", "relu5_1"), ("relu3_1",)]),
)
def test_a_tiling_covers_its_level_within_the_budget(
    height: int, width: int, budget: int, regions: list[Any], style_layers: tuple[str, ...]
) -> None:
    level = Level(1000, Size(height, width))
    chosen = artwork(regions=regions, network={"style_layers": style_layers})
    found = cut_up(level, chosen, budget)
    assert found == cut_up(level, chosen, budget)
    assert found.memory_mib <= budget
    if found.tile_core_px is None:
        return
    assert found.tile_core_px >= 128
    deepest = chosen.network.architecture.deepest(chosen.network.layers)
    tiles = cut(level.padded, found.tile_core_px, found.halo_px, deepest.stride_px)
    assert sum(tile.core.size.area for tile in tiles) == level.padded.area
    activations = activation_bytes_per_px(chosen.network, 4)
    content = 4 * content_values_per_px(chosen.network)
    state = 0 if found.store == "files" else vector_bytes_per_px(chosen.optimiser) + content
    areas = sorted((tile.haloed.size.area for tile in tiles), reverse=True)
    # What is read ahead and written behind: image, content, guides; gradients.
    activations += 36 + 8 * chosen.guidance_channels
    held = activations * areas[0] + kept_bytes_per_px(chosen.network, 4) * sum(areas[: found.keep_tiles])
    assert 700 * 2**20 + state * level.padded.area + held <= budget * 2**20


def test_more_memory_never_means_more_work() -> None:
    level, costs, network = Level(4096, Size(4096, 4096)), [], artwork().network
    for budget in range(4096, 65_536, 4096):
        found = cut_up(level, artwork(), budget)
        cut_so = found.tile_core_px, found.halo_px
        kept = kept_share(level.padded, *cut_so, found.keep_tiles)
        costs.append(computed_share(level.padded, network, *cut_so) * (3 - kept))
    assert costs == sorted(costs, reverse=True)


def test_devices_share_what_is_worth_it() -> None:
    def shared(height: int, devices: int, **settings: Any) -> Tiling:
        own = artwork(**settings)
        demand = Demand(own.network, own.optimiser, own.guidance_channels, iterations=50)
        size = Size(height, 4096)
        return tiling(Level(height, size), demand, 16_000, devices)

    # A border costs two halos of 64 px: three of them are half of 768 rows, four of 1024.
    assert [shared(768, devices).processes for devices in (1, 2, 3, 4, 5, 99)] == [1, 2, 3, 4, 4, 4]
    assert shared(1024, 99).processes == 5
    assert shared(240, 2).processes == 1
    # Shallow layers have small halos: the initial Hessian's blocks of 16 px decide.
    few = {"network": {"style_layers": ["relu1_1"], "content_layers": []}}
    assert [shared(height, 99, **few).processes for height in (64, 128)] == [2, 3]


def test_a_strip_is_budgeted_for_each_device() -> None:
    own = artwork()
    demand = Demand(own.network, own.optimiser, own.guidance_channels, iterations=50)
    level = Level(4096, Size(4096, 4096))
    alone, four = (tiling(level, demand, 8192, devices) for devices in (1, 4))
    # Four strips of 1120 rows, halos included, as if each were an image; 1280 rows would be too many.
    strip = tiling(Level(1, Size(1120, 4096)), demand, 8192)
    assert (four.processes, four.tile_core_px, four.store) == (4, strip.tile_core_px, strip.store)
    assert four.device_mib == strip.device_mib <= 8192 - 700
    assert four.memory_mib == 4 * strip.memory_mib + 400
    # Image, gradient, five pairs and a step of each strip, in memory, saved twice.
    assert four.disk_mib == math.ceil(4 * 1120 * 4096 * 180 / 2**20)
    assert alone.runtime_min > 3 * four.runtime_min
