"""Segment-anything's own classes, a few pixels wide, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pipeline.weights import SAM, Weights

FRAME_PX = 64
MASK_PX = 16


def tiny_sam() -> Any:
    """A `Sam` of the real package whose frame is 64 px a side, in evaluation mode."""
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    torch.manual_seed(0)
    made = Sam(
        ImageEncoderViT(
            img_size=FRAME_PX, patch_size=16, embed_dim=16, depth=1, num_heads=2, out_chans=16, window_size=2
        ),
        PromptEncoder(
            embed_dim=16, image_embedding_size=(4, 4), input_image_size=(FRAME_PX, FRAME_PX), mask_in_chans=4
        ),
        MaskDecoder(
            transformer_dim=16,
            transformer=TwoWayTransformer(depth=1, embedding_dim=16, num_heads=2, mlp_dim=16),
            iou_head_depth=2,
            iou_head_hidden_dim=16,
        ),
    )
    return made.eval()


def sure_sam() -> Any:
    """`tiny_sam` that is sure of its masks: they pass the automatic mask generator's thresholds."""
    made = tiny_sam()
    with torch.no_grad():
        quality = made.mask_decoder.iou_prediction_head.layers[-1]
        quality.weight.zero_()
        quality.bias.fill_(0.95)
        for mask in made.mask_decoder.output_hypernetworks_mlps:
            mask.layers[-1].weight.mul_(3000)
            mask.layers[-1].bias.mul_(3000)
    return made


def tiny_sam_weights(name: str = "sam_vit_b", make: Callable[[], Any] = tiny_sam) -> Weights:
    """Its tensors as the registry would give them, under the name of a real checkpoint."""
    state = {key: tensor.numpy() for key, tensor in make().state_dict().items()}
    return Weights(name, state, SAM, "", {})


def save_checkpoint(path: Path, make: Callable[[], Any] = sure_sam) -> Path:
    """Writes a user's own checkpoint file, as PyTorch saves them."""
    torch.save(make().state_dict(), path)
    return path


def install_mobile_sam(folder: Path) -> None:
    """Writes a module that stands in for the package mobile_sam, for processes that find `folder` first."""
    (folder / "mobile_sam.py").write_text(
        f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\n"
        "from tiny_sam import tiny_sam\nsam_model_registry = {'vit_t': tiny_sam}\n"
    )
