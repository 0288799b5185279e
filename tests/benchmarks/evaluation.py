"""What one evaluation of the loss costs: bfloat16 against float32, tiles against the whole image.

    python tests/benchmarks/evaluation.py [--side-px 512] [--repeat 5] [--output FILE]

VGG-16 with seeded random weights (their values do not change the work), content at relu4_2 and two guided
regions at the five style layers. Variants take turns within one run, so the ratios hold on a machine that is
shared; seconds are per megapixel and evaluation (one forward and one gradient pass), best of the turns.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from networks import OxfordFormat, make_image, make_random_weights

from pipeline.features import Encoder
from pipeline.files import write_text
from pipeline.geometry import Size
from pipeline.guidance import normalise
from pipeline.layers import CONTENT_LAYERS, STYLE_LAYERS, VGG16
from pipeline.losses import ContentTerm, GramTerm, Loss
from pipeline.machine import prepare_machine
from pipeline.objective import TiledObjective, WholeObjective
from pipeline.provenance import device_facts
from pipeline.rasters import TensorRaster
from pipeline.targets import style_statistics
from pipeline.tiles import Tile

STYLES = [VGG16.layer(name) for name in STYLE_LAYERS]


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--side-px", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    machine = prepare_machine(arguments.device, "auto", arguments.threads)
    size = Size(arguments.side_px, arguments.side_px)
    image = make_image(*(size.height, size.width), seed=2, dtype=torch.float32).to(machine.device)
    variants: dict[str, TiledObjective | WholeObjective] = {}
    for dtype, name in ((torch.bfloat16, "bfloat16"), (torch.float32, "float32")):
        make = _maker(dtype, machine.device, size)
        half = arguments.side_px // 2
        variants[f"{name} whole"] = make(None, 0)
        variants[f"{name} 4 tiles, all kept"] = make(half, 4)
        variants[f"{name} 4 tiles, two passes"] = make(half, 0)
    best = {name: float("inf") for name in variants}
    for _ in range(arguments.repeat):
        for name, objective in variants.items():
            best[name] = min(best[name], _seconds(objective, image))
    lines = _lines(best, size, machine.device)
    sys.stdout.write("\n".join(lines) + "\n")
    if arguments.output is not None:
        write_text(arguments.output, "\n".join(lines) + "\n")


def _maker(
    dtype: torch.dtype, device: torch.device, size: Size
) -> Callable[[int | None, int], TiledObjective | WholeObjective]:
    weights = make_random_weights(VGG16, seed=0, dtype=torch.float32)
    encoder = Encoder(weights, VGG16, OxfordFormat(), dtype=dtype, device=device)
    style = TensorRaster(make_image(256, 256, seed=1, dtype=torch.float32).to(device))
    targets = style_statistics(encoder, style, None, STYLES, tile_px=256)
    ramp = torch.linspace(0, 1, size.width, device=device).expand(size.height, size.width)
    channels = TensorRaster(torch.stack([ramp, 1 - ramp]))
    guidance = normalise(channels, STYLES, (Tile.whole(size),), ["left", "right"])
    content = TensorRaster(make_image(size.height, size.width, seed=3, dtype=torch.float32).to(device))
    loss = Loss(
        (
            *(ContentTerm(VGG16.layer(name)) for name in CONTENT_LAYERS),
            *(
                GramTerm(layer, region, 1e3 / layer.channels**2 / 2, targets[layer.name].gram)
                for layer in STYLES
                for region in range(2)
            ),
        )
    )

    def make(tile_px: int | None, keep_tiles: int) -> TiledObjective | WholeObjective:
        if tile_px is None:
            return WholeObjective(encoder, loss, size, content=content, guidance=guidance)
        return TiledObjective(
            encoder, loss, size, tile_px=tile_px, content=content, guidance=guidance, keep_tiles=keep_tiles
        )

    return make


def _seconds(objective: TiledObjective | WholeObjective, image: torch.Tensor) -> float:
    started = time.perf_counter()
    gradient = objective.forward(image).gradient()
    gradient.sum().item()
    return time.perf_counter() - started


def _lines(best: dict[str, float], size: Size, device: torch.device) -> list[str]:
    facts = device_facts(str(device))
    megapixels = size.area / 1e6
    lines = [
        f"{datetime.date.today().isoformat()}  evaluation of the loss, {size} px, VGG-16, two guided regions",
        f"{facts['name']}, {facts['threads']} threads, {', '.join(facts['instruction_sets'])}",
        f"torch {facts['torch']}, Python {platform.python_version()}",
        "",
        f"{'variant':<32}{'s per megapixel-evaluation':>28}{'ratio to whole':>16}{'ratio to float32':>18}",
    ]
    for name, seconds in best.items():
        precision, _, form = name.partition(" ")
        whole, float32 = best[f"{precision} whole"], best[f"float32 {form}"]
        lines.append(
            f"{name:<32}{seconds / megapixels:>28.2f}{seconds / whole:>16.2f}{seconds / float32:>18.2f}"
        )
    return lines


if __name__ == "__main__":
    main()
