"""The table of layers: channels, stride, receptive field and halo of each named activation.

Pure integers, no torch. A layer is named `relu{block}_{convolution}`, never by a number.

The receptive field R of a chain of 3x3 convolutions and 2x2 poolings: a convolution at stride s adds 2 s,
a pooling adds s and doubles s. Why the halo is (R - s) / 2 and not R / 2 is told in pipeline/README.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from pipeline.geometry import align_up

STRIDE_PX = 16
"""Images are padded to a multiple of this once per level, so that no pooling ever rounds."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One activation of a network, after its ReLU.

    Attributes:
        name: `relu4_2` and the like.
        channels: N, the number of feature maps.
        stride_px: Image pixels from one unit to the next.
        receptive_field_px: R, the side of the square of image pixels that one unit sees.
    """

    name: str
    channels: int
    stride_px: int
    receptive_field_px: int

    @property
    def convolution(self) -> str:
        """The name of the convolution before the ReLU: `conv4_2`."""
        return self.name.replace("relu", "conv")

    @property
    def halo_px(self) -> int:
        """Pixels around a core that make its statistics and gradient exact: (R - s) / 2, up to s."""
        return align_up((self.receptive_field_px - self.stride_px) // 2, self.stride_px)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A chain of blocks of 3x3 convolutions (padding 1, ReLU) with a 2x2 pooling between blocks.

    Attributes:
        name: `vgg16`, `vgg19`.
        convolutions: How many convolutions each block has.
        channels: How many channels each block's convolutions give.
    """

    name: str
    convolutions: tuple[int, ...]
    channels: tuple[int, ...]

    def __iter__(self) -> Iterator[Layer]:
        return iter(_chain(self))

    def layer(self, name: str) -> Layer:
        """The layer of this name.

        Raises:
            KeyError: There is none; the message lists the names there are.
        """
        found = _by_name(self).get(name)
        if found is None:
            raise KeyError(f"{self.name} has no layer {name!r}; it has {', '.join(self.names)}")
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """All layer names, shallowest first."""
        return tuple(layer.name for layer in self)

    def deepest(self, names: Iterable[str]) -> Layer:
        """The deepest of the named layers: the one that sets the halo and the alignment."""
        return max((self.layer(name) for name in names), key=lambda layer: layer.receptive_field_px)

    def up_to(self, names: Iterable[str]) -> tuple[Layer, ...]:
        """Every layer that must be computed to reach all the named ones, shallowest first."""
        deepest = self.deepest(names)
        return tuple(layer for layer in self if layer.receptive_field_px <= deepest.receptive_field_px)


@cache
def _by_name(architecture: Architecture) -> dict[str, Layer]:
    return {layer.name: layer for layer in _chain(architecture)}


@cache
def _chain(architecture: Architecture) -> tuple[Layer, ...]:
    """Every layer, shallowest first. A collection's plans ask for it a thousand times over."""
    found = []
    stride, field = 1, 1
    per_block = zip(architecture.convolutions, architecture.channels, strict=True)
    for block, (count, channels) in enumerate(per_block, start=1):
        if block > 1:
            field += stride
            stride *= 2
        for convolution in range(1, count + 1):
            field += 2 * stride
            found.append(Layer(f"relu{block}_{convolution}", channels, stride, field))
    return tuple(found)


VGG16 = Architecture("vgg16", (2, 2, 3, 3, 3), (64, 128, 256, 512, 512))
VGG19 = Architecture("vgg19", (2, 2, 4, 4, 4), (64, 128, 256, 512, 512))

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYERS = ("relu4_2",)
DEEPEST_LAYER = "relu5_1"
"""Model files end here: deeper layers are of no use to style or content, and would double the file."""
