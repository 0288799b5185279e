"""The one registry of transformation networks: chains of convolutions, and which box each one reads.

Pure integers, no torch. A layer's boxes are in its own frame, whose (0, 0) is the first position it computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

from pipeline.geometry import Box, Size

Upsampling = Literal["nearest", "transposed"]

STRIDE_PX = 4
"""What the chains shrink an image by before their residual blocks."""


@final
@dataclass(frozen=True, slots=True)
class Convolution:
    """One layer: a convolution, and mostly an instance normalisation behind it.

    Attributes:
        name: `c1`, `d1`, `d2`, `r1a`, `r1b`, ..., `u1`, `u2`, `c2`.
        inputs: Channels that come in.
        outputs: Channels that go out.
        kernel: Side of the square that a position looks at.
        stride: Inputs from one output to the next; 2 halves the size.
        padding: Rows and columns of zeros around the input.
        enlarged: How the size is doubled first: every value repeated (`nearest`), or by the transposed
            convolution; None leaves it.
        normalised: Whether an instance normalisation follows.
        rectified: Whether a ReLU follows.
        skip: Whether what the layer two before gave, cropped by as much as both lose, is added in the end.
        stride_px: Pixels from one output to the next.
    """

    name: str
    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    enlarged: Upsampling | None = None
    normalised: bool = True
    rectified: bool = True
    skip: bool = False
    stride_px: int = STRIDE_PX

    def size_of(self, inputs: Size) -> Size:
        """The size it gives for inputs of this size."""
        if self.enlarged is not None:
            return Size(2 * inputs.height, 2 * inputs.width)
        lost = 2 * self.padding - self.kernel
        return Size(
            (inputs.height + lost) // self.stride + 1,
            (inputs.width + lost) // self.stride + 1,
        )

    def reads(self, box: Box) -> Box:
        """What it reads of its input for this box of its output; zeros count where that lies outside."""
        top, bottom = self._reads(box.top, box.bottom)
        left, right = self._reads(box.left, box.right)
        return Box(top, left, bottom, right)

    def _reads(self, start: int, stop: int) -> tuple[int, int]:
        match self.enlarged:
            case "nearest":
                return (start - 1) // 2, stop // 2 + 1
            case "transposed":
                # Input i gives the outputs 2 i - 1, 2 i and 2 i + 1.
                return start // 2, stop // 2 + 1
        first = start * self.stride - self.padding
        return first, (stop - 1) * self.stride - self.padding + self.kernel


SKIP_CROP = 2
"""Positions that the two convolutions of a residual block lose on each side, for want of padding."""


@final
@dataclass(frozen=True, slots=True)
class TransformationArchitecture:
    """A chain `c9s1-W, d2W, d4W, R4W x B, u2W, uW, c9s1-3`.

    c9s1: a 9x9 convolution; d: a 3x3 one that halves the size; R: a residual block of two 3x3 ones without
    padding; u: one that doubles the size. Zeros around the others. Before the first, the image is reflected
    outwards by as much as the residual blocks lose.

    Differs from the paper: nothing in `transposed`; `nearest` repeats values and convolves them instead of
    a transposed convolution, whose kernel meets some outputs more often than others: a checkerboard.

    Attributes:
        name: As the settings name it.
        width: W.
        residual_blocks: B.
    """

    name: str
    width: int
    residual_blocks: int

    @property
    def margin_px(self) -> int:
        """By how much an image is reflected outwards on each side."""
        return SKIP_CROP * self.residual_blocks * STRIDE_PX

    def layers(self, inputs: int, upsampling: Upsampling) -> tuple[Convolution, ...]:
        """The chain for an input of so many channels."""
        w = self.width
        chain = [
            Convolution("c1", inputs, w, 9, padding=4, stride_px=1),
            Convolution("d1", w, 2 * w, stride=2, stride_px=2),
            Convolution("d2", 2 * w, 4 * w, stride=2),
        ]
        for block in range(1, self.residual_blocks + 1):
            chain += [
                Convolution(f"r{block}a", 4 * w, 4 * w, padding=0),
                Convolution(f"r{block}b", 4 * w, 4 * w, padding=0, rectified=False, skip=True),
            ]
        return (
            *chain,
            Convolution("u1", 4 * w, 2 * w, enlarged=upsampling, stride_px=2),
            Convolution("u2", 2 * w, w, enlarged=upsampling, stride_px=1),
            Convolution("c2", w, 3, 9, padding=4, normalised=False, rectified=False, stride_px=1),
        )

    def multiplications(self, inputs: int, upsampling: Upsampling) -> float:
        """Multiplications per pixel of the image, its margin aside."""
        return sum(
            layer.inputs
            * layer.outputs
            * layer.kernel**2
            # A transposed convolution uses each kernel entry once per input, of which there are a quarter.
            / (layer.stride_px**2 * (4 if layer.enlarged == "transposed" else 1))
            for layer in self.layers(inputs, upsampling)
        )


_ARCHITECTURES = (
    TransformationArchitecture("narrow", 16, 5),
    TransformationArchitecture("wide", 32, 5),
)
ARCHITECTURES: Mapping[str, TransformationArchitecture] = {each.name: each for each in _ARCHITECTURES}
"""`narrow`: the authors' `c9s1-16,d32,d64,R64x5,u32,u16,c9s1-3`; `wide`: twice the channels everywhere."""
