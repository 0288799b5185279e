"""What an optimised image costs: bytes per pixel of activations, vectors and saved states; evaluations.

From settings alone. No torch.
"""

from __future__ import annotations

import itertools
import math

from pipeline.config.sections import Network, Optimiser

EVALUATIONS_PER_ITERATION = 1.05
"""Trials of the line search that are rejected count a half each; renderings take 1.01 to 1.05."""
_BACKWARD = 3.25  # times a block's outputs, see below


def kept_bytes_per_px(network: Network, bytes_per_value: int) -> int:
    """Bytes that a graph holds between forward and backward pass, per pixel of the image.

    Each convolution's output and each pooling's, and the pooling's int64 indices when it is a maximum.
    """
    return math.ceil(sum(_block_bytes(network, bytes_per_value)))


def activation_bytes_per_px(network: Network, bytes_per_value: int) -> int:
    """Bytes that an evaluation holds at its peak, per pixel of the image.

    The backward pass lets go of a block when it has passed it. What is asked of a block while it runs through
    it, and what the heap loses, is three times the block's outputs and a quarter: measured peaks in float32
    and bfloat16, guided or not, of all layers or those of two blocks, lie between 10 % below and 3 % above.
    """
    blocks = _block_bytes(network, bytes_per_value)
    asked = [_BACKWARD * bytes_per_value * width for width in _block_values(network)]
    return math.ceil(max(held + some for held, some in zip(itertools.accumulate(blocks), asked, strict=True)))


def _block_values(network: Network) -> list[float]:
    """Values per pixel that the convolutions of each block put out, of the shallowest first."""
    layers = network.architecture.up_to(network.layers)
    strides = sorted({layer.stride_px for layer in layers})
    return [sum(layer.channels for layer in layers if layer.stride_px == s) / s**2 for s in strides]


def _block_bytes(network: Network, bytes_per_value: int) -> list[float]:
    """Bytes per pixel that each block keeps, the pooling behind it included."""
    layers = network.architecture.up_to(network.layers)
    pooled = [
        layer.channels / (2 * layer.stride_px) ** 2
        for layer, following in itertools.pairwise(layers)
        if following.stride_px > layer.stride_px
    ]
    of_pooled = bytes_per_value + (8 if network.pooling == "max" else 0)
    return [
        values * bytes_per_value + behind * of_pooled
        for values, behind in zip(_block_values(network), [*pooled, 0.0], strict=True)
    ]


def state_bytes_per_px(optimiser: Optimiser, content_values: float, channels: int) -> int:
    """Bytes per pixel of a level that is in memory whole: images, gradients, history, guidance, targets.

    Args:
        optimiser: The method and its history.
        content_values: From `content_values_per_px`.
        channels: Guidance channels.
    """
    # Content, start, image, next image, both gradients, the step between: three float32 channels each.
    fixed = 7 * 12 + 4 * channels + 4 * content_values
    return math.ceil(fixed + _history_bytes_per_px(optimiser))


def vector_bytes_per_px(optimiser: Optimiser) -> int:
    """Bytes per pixel of the optimiser's vectors alone, where they are in memory and many iterations are run.

    Of L-BFGS image, next image, gradient and the gradient before it; of Adam image, next image and gradient.
    """
    return (36 if optimiser.method == "adam" else 48) + _history_bytes_per_px(optimiser)


def state_file_bytes_per_px(optimiser: Optimiser, iterations: int) -> int:
    """Bytes per pixel of the files that a run's state takes at most, where its vectors are those files.

    In the first iteration the start image is read where it is. L-BFGS then has the gradient and the next
    image; from the second one on also the image and the gradient before, and of pairs as many as there are.
    Adam writes image and moments anew in each iteration, before the old ones go.

    Args:
        optimiser: The method and its history.
        iterations: How many there will be: a short run never fills its history.
    """
    if optimiser.method == "adam":
        return 48 if iterations <= 1 else 84
    pairs = min(optimiser.history, max(0, iterations - 2))
    return 24 if iterations <= 1 else 48 + 2 * pairs * _half_pair_bytes_per_px(optimiser)


def saved_bytes_per_px(optimiser: Optimiser, iterations: int) -> int:
    """Bytes per pixel of the files that a run's state takes at most, where its vectors are in memory.

    The state is saved from time to time, and what was saved before goes only then. Two states may have
    nothing in common: in a minute all pairs may be others, and a run that was resumed saves everything anew.
    L-BFGS saves image, gradient, pairs, and the step that will make another pair; the last step makes none.
    Adam saves image and moments. After a single step there is the image alone, beside what was saved before.

    Args:
        optimiser: The method and its history.
        iterations: How many there will be: a short run never fills its history.
    """
    if optimiser.method == "adam":
        return 48 if iterations <= 1 else 72
    if iterations <= 1:
        return 36
    stepped = 1 + 2 * min(optimiser.history, iterations - 2)
    differentiated = 2 * min(optimiser.history, iterations - 1)
    return 2 * (24 + max(stepped, differentiated) * _half_pair_bytes_per_px(optimiser))


def _history_bytes_per_px(optimiser: Optimiser) -> int:
    """Of the two moments, or of as many pairs as are kept."""
    return 24 if optimiser.method == "adam" else 2 * optimiser.history * _half_pair_bytes_per_px(optimiser)


def _half_pair_bytes_per_px(optimiser: Optimiser) -> int:
    """Of a step, or of the change of the gradient along it."""
    return 3 * (2 if optimiser.history_precision == "bfloat16" else 4)


def evaluations(optimiser: Optimiser, iterations: int) -> float:
    """How often loss and gradient are evaluated; the loss alone, after the last step say, counts a half."""
    checked = int(optimiser.check_last_step)
    searched = 0 if optimiser.method == "adam" else iterations - 1 + checked
    return iterations + checked / 2 + (EVALUATIONS_PER_ITERATION - 1) * searched


def content_values_per_px(network: Network) -> float:
    """Values of the content targets per pixel of a level."""
    found = (network.architecture.layer(name) for name in network.content_layers)
    return sum(layer.channels / layer.stride_px**2 for layer in found)
