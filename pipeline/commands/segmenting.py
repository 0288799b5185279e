"""What segment and partition have in common: the image as the networks read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import canvas
from pipeline.files import scratch_path
from pipeline.geometry import Size
from pipeline.mask_record import ModelFile
from pipeline.weights import Weights

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float

_LONGER_SIDE_PX = 1024


def read_small(image: Path, output: Path, device: torch.device) -> Float[torch.Tensor, "3 height width"]:
    """A prepared image averaged down to 1024 px: a mask has its network's detail, not the photograph's.

    Args:
        image: The prepared image.
        output: What is made of it; a scratch file lies beside it for a moment.
        device: Where the pixels go.

    Raises:
        InputError: The image cannot be read.
    """
    # torch takes seconds, which help and mistakes need not wait for.
    import torch  # noqa: PLC0415

    with scratch_path(output.with_suffix(".tif"), "small") as small:
        canvas.resize(image, small, _working_size(canvas.size_of(image)))
        pixels = canvas.read(small)
    return torch.from_numpy(pixels).permute(2, 0, 1).to(device)


def model_file(weights: Weights) -> ModelFile:
    """What a mask's record says of a model file."""
    return ModelFile(name=weights.name, sha256=weights.tensors_sha256)


def _working_size(size: Size) -> Size:
    longer = max(size.height, size.width)
    shrink = min(1.0, _LONGER_SIDE_PX / longer)
    return Size(max(1, round(size.height * shrink)), max(1, round(size.width * shrink)))
