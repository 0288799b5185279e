"""What one evaluation of the loss costs: bfloat16 against float32, tiles against the whole image.

    python tests/benchmarks/evaluation.py [--side-px 512] [--repeat 5] [--device cpu] [--output FILE]

VGG-16 with seeded random weights (their values do not change the work), content at relu4_2 and two guided
regions at the five style layers. Variants take turns within one run, so the ratios hold on a machine that is
shared; each is made for its turn and dropped after it. Seconds are per megapixel and evaluation (one forward
and one gradient pass), best of the turns. A variant for which a GPU has too little memory is left out.
Of small images tiles are mostly halos, 1.56 times the pixels at 512 px: tiled_against_whole.py has larger.
"""

from __future__ import annotations

from functools import partial

import torch
from benching import Results, Waves, default_loss, parser, seconds_of, seeded_encoder, settle
from networks import make_image

from pipeline.geometry import Size
from pipeline.guidance import normalise
from pipeline.layers import STYLE_LAYERS, VGG16
from pipeline.machine import is_out_of_memory
from pipeline.objective import TiledObjective, WholeObjective
from pipeline.rasters import TensorRaster
from pipeline.tiles import Tile


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--side-px", type=int, default=512)
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    arguments = options.parse_args()
    device = settle(arguments.threads, device=arguments.device).device
    size = Size(arguments.side_px, arguments.side_px)
    title = f"evaluation of the loss, {size} px, VGG-16, two guided regions"
    results = Results(title, arguments.output, str(device))
    image = make_image(size.height, size.width, seed=2, dtype=torch.float32).to(device)
    half, best = arguments.side_px // 2, dict[str, float]()
    variants = {
        f"{name} {form}": partial(_objective, dtype, device, size, tile_px, keep_tiles)
        for dtype, name in ((torch.bfloat16, "bfloat16"), (torch.float32, "float32"))
        for form, tile_px, keep_tiles in (
            ("whole", None, 0),
            ("4 tiles, all kept", half, 4),
            ("4 tiles, two passes", half, 0),
        )
    }
    for _ in range(arguments.repeat):
        for name, make in tuple(variants.items()):
            try:
                seconds = _seconds(make(), image)
                best[name] = min(best.get(name, seconds), seconds)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                del variants[name]
                results.say(f"{name}: left out, the device has too little memory")
            if device.type == "cuda":
                torch.cuda.empty_cache()
    results.say(
        f"{'variant':<32}{'s per megapixel-evaluation':>28}{'ratio to whole':>16}{'ratio to float32':>18}"
    )
    for name, seconds in best.items():
        precision, _, form = name.partition(" ")
        ratios = [
            f"{seconds / best[other]:.2f}" if other in best else "-"
            for other in (f"{precision} whole", f"float32 {form}")
        ]
        results.say(f"{name:<32}{seconds / (size.area / 1e6):>28.4f}{ratios[0]:>16}{ratios[1]:>18}")
    results.save()


def _objective(
    dtype: torch.dtype, device: torch.device, size: Size, tile_px: int | None, keep_tiles: int
) -> TiledObjective | WholeObjective:
    encoder = seeded_encoder(dtype, device)
    loss = default_loss(encoder, regions=2)
    styles = [VGG16.layer(name) for name in STYLE_LAYERS]
    ramp = torch.linspace(0, 1, size.width, device=device).expand(size.height, size.width)
    channels = TensorRaster(torch.stack([ramp, 1 - ramp]))
    guidance = normalise(channels, styles, (Tile.whole(size),), ["left", "right"])
    content = Waves(size, 0.01, device)
    if tile_px is None:
        return WholeObjective(encoder, loss, size, content=content, guidance=guidance)
    return TiledObjective(
        encoder, loss, size, tile_px=tile_px, content=content, guidance=guidance, keep_tiles=keep_tiles
    )


def _seconds(objective: TiledObjective | WholeObjective, image: torch.Tensor) -> float:
    return seconds_of(lambda: objective.forward(image).gradient(), image.device)


if __name__ == "__main__":
    main()
