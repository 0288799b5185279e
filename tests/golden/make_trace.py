"""Writes trace.txt, the golden loss trace: `python tests/golden/make_trace.py` when a formula is to change.

A small render with everything in it: VGG-16 with seeded random weights (He-initialised, so that no activation
dies out), noise of 48x64 px as content, two soft guided regions with a style each, content at relu4_2, and
eight iterations of L-BFGS as the product runs it. In float64, and in float32 from the same numbers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from networks import VGG16, make_encoder, make_image

from pipeline.files import write_text
from pipeline.geometry import Size
from pipeline.guidance import normalise
from pipeline.layers import CONTENT_LAYERS, STYLE_LAYERS
from pipeline.losses import ContentTerm, GramTerm, Loss, Term
from pipeline.objective import WholeObjective
from pipeline.optimiser import Lbfgs, Result, minimise
from pipeline.rasters import TensorRaster
from pipeline.targets import style_statistics
from pipeline.tiles import Tile

TRACE = Path(__file__).with_name("trace.txt")
DTYPES = (torch.float64, torch.float32)
_SIZE = Size(48, 64)
_ITERATIONS = 8


def render(dtype: torch.dtype, disturbance: float = 0.0) -> Result:
    """The render, its start image disturbed by noise of this size (to see how far rounding is amplified)."""
    encoder = make_encoder(VGG16, dtype=dtype)
    layers = [VGG16.layer(name) for name in STYLE_LAYERS]
    content = make_image(_SIZE.height, _SIZE.width, seed=1, dtype=dtype)
    styles = [make_image(64, 64, seed, dtype=dtype) * scale for seed, scale in ((2, 1.0), (3, 0.5))]
    guidance = normalise(TensorRaster(_guides(dtype)), layers, [Tile.whole(_SIZE)], ["left", "right"])
    terms: list[Term] = [ContentTerm(VGG16.layer(name), 2.0) for name in CONTENT_LAYERS]
    for region, style in enumerate(styles):
        found = style_statistics(encoder, TensorRaster(style), None, layers, tile_px=64)
        terms += [
            GramTerm(layer, region, 1e3 / layer.channels**2 / len(styles), found[layer.name].gram)
            for layer in layers
        ]
    raster = TensorRaster(content)
    objective = WholeObjective(encoder, Loss(tuple(terms)), _SIZE, content=raster, guidance=guidance)
    start = content + disturbance * (make_image(_SIZE.height, _SIZE.width, seed=4, dtype=dtype) - 0.5)
    return minimise(objective, start, Lbfgs(_ITERATIONS))


def _guides(dtype: torch.dtype) -> Tensor:
    """A soft edge across the image, and what it leaves."""
    left = torch.linspace(1.5, -0.5, _SIZE.width, dtype=dtype).clamp(0, 1).expand(_SIZE.height, -1)
    return torch.stack([left, 1 - left])


def lines_of(dtype: torch.dtype) -> list[str]:
    """A line per iteration, `precision iteration passes loss`; in float64 the parts at both ends too."""
    name = str(dtype).removeprefix("torch.")
    trace = render(dtype).trace
    lines = [f"{name} {step.iteration} {step.passes} {step.loss:.15e}" for step in trace]
    if dtype == torch.float64:
        for step in (trace[0], trace[-1]):
            lines += [f"{name} {step.iteration} {term} {value:.15e}" for term, value in step.terms.items()]
    return lines


if __name__ == "__main__":
    write_text(TRACE, "\n".join(line for dtype in DTYPES for line in lines_of(dtype)) + "\n")
