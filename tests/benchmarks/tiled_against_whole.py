"""What cutting into tiles costs: four cores against the whole image, activations kept and computed twice.

    python tests/benchmarks/tiled_against_whole.py [--side-px 2048] [--repeat 2] [--output FILE]

The trained VGG-16 in bfloat16 where the CPU has it, content at relu4_2 and one style at its five layers. An
evaluation is one forward and one gradient pass. Variants take turns, so that ratios hold on a machine that is
shared. At 2048 px the whole image takes about 8 GiB.
"""

from __future__ import annotations

from benching import Clock, Results, median, parser, picture, real_encoder, settle, style_loss

from pipeline.geometry import Size
from pipeline.layers import CONTENT_LAYERS, STYLE_LAYERS, VGG16
from pipeline.objective import TiledObjective, WholeObjective
from pipeline.rasters import TensorRaster
from pipeline.stores import TensorStore

GOALS = {"four tiles, all kept": 1.25, "four tiles, two passes": 1.9}


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--side-px", type=int, default=2048)
    options.add_argument("--repeat", type=int, default=2)
    arguments = options.parse_args()
    machine = settle(arguments.threads)
    size = Size(arguments.side_px, arguments.side_px)
    title = f"four tiles against the whole, {size} px, VGG-16, {machine.precision}"
    results = Results(title, arguments.output)
    encoder = real_encoder(machine.dtype)
    content = TensorRaster(picture("coffee.png", size))
    image = picture("astronaut.png", size)
    styles = [VGG16.layer(name) for name in STYLE_LAYERS]
    contents = [VGG16.layer(name) for name in CONTENT_LAYERS]
    loss = style_loss(encoder, picture("painted_fields.png", Size(512, 512)), styles, contents)
    half = arguments.side_px // 2

    def tiled(keep_tiles: int) -> TiledObjective:
        return TiledObjective(encoder, loss, size, tile_px=half, content=content, keep_tiles=keep_tiles)

    variants: dict[str, WholeObjective | TiledObjective] = {
        "whole": WholeObjective(encoder, loss, size, content=content),
        "four tiles, all kept": tiled(4),
        "four tiles, two passes": tiled(0),
    }
    found: dict[str, list[Clock]] = {name: [] for name in variants}
    for _ in range(arguments.repeat):
        for name, objective in variants.items():
            started = Clock.now()
            into = TensorStore(3, size, image.dtype, image.device, image.device)
            objective.forward(TensorRaster(image)).write_gradient(into)
            found[name].append(Clock.now() - started)
    whole = median(found["whole"])
    results.say(f"{'':<24}{'wall s':>9}{'ratio':>8}{'processor s':>13}{'ratio':>8}{'goal':>8}")
    for name, clocks in found.items():
        taken = median(clocks)
        goal = f"{GOALS[name]:.2f}" if name in GOALS else ""
        results.say(
            f"{name:<24}{taken.wall_s:>9.1f}{taken.wall_s / whole.wall_s:>8.2f}{taken.processor_s:>13.1f}"
            f"{taken.processor_s / whole.processor_s:>8.2f}{goal:>8}"
        )
    results.save()


if __name__ == "__main__":
    main()
