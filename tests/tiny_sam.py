"""Segment-anything's own classes, a few pixels wide, with seeded random weights."""

from __future__ import annotations

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


def tiny_sam_weights(name: str = "sam_vit_b") -> Weights:
    """Its tensors as the registry would give them, under the name of a real checkpoint."""
    state = {key: tensor.numpy() for key, tensor in tiny_sam().state_dict().items()}
    return Weights(name, state, SAM, "", {})
