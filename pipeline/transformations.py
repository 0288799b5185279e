"""The one registry of transformation networks: chains of convolutions, and which box each one reads.

Pure integers, no torch. A layer's boxes are in its own frame, whose (0, 0) is the first position it computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, final

from pipeline.geometry import Box, Size, align_down, align_up

Upsampling = Literal["nearest", "transposed"]

STRIDE_PX = 4
"""What the chains shrink an image by before their residual blocks."""

TILE_STEP_PX = 64
"""Tiles have sides of a multiple of this: what is held is laid out in blocks of 16 positions."""

ROW_PX = 256
"""Rows of the tiles of an image's file, in which a painting is written."""

THUMBNAIL_PX = 1024
"""The square root of the area of the small copy whose moments are taken, unless another is asked for."""

_LOST_BY_BLOCK = 2
_BLOCK = TILE_STEP_PX // STRIDE_PX
_HELD_AT_ONCE = 3
_MIB = 2**20


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
        reflected: Whether the input is reflected outwards instead of surrounded by zeros.
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
    reflected: bool = False
    stride_px: int = STRIDE_PX

    @property
    def skip_crop(self) -> int:
        """Positions on each side that the block which it ends loses, for want of padding."""
        return 2 if self.skip and self.padding == 0 else 0

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
        """What it reads of its input for this box of its output, beyond the input's borders too."""
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
        reflected: Whether every layer reflects its input outwards, residual blocks among them, and the image
            is not: as in networks of the type of Johnson, Alahi and Fei-Fei.
        bounded: Whether colours come out of a tanh; else they are what the last convolution gives.
    """

    name: str
    width: int
    residual_blocks: int
    reflected: bool = False
    bounded: bool = True

    @property
    def margin_px(self) -> int:
        """By how much an image is reflected outwards on each side."""
        return 0 if self.reflected else _LOST_BY_BLOCK * self.residual_blocks * STRIDE_PX

    def layers(self, inputs: int, upsampling: Upsampling) -> tuple[Convolution, ...]:
        """The chain for an input of so many channels."""
        w, border = self.width, self.reflected
        within = 1 if border else 0
        chain = [
            Convolution("c1", inputs, w, 9, padding=4, reflected=border, stride_px=1),
            Convolution("d1", w, 2 * w, stride=2, reflected=border, stride_px=2),
            Convolution("d2", 2 * w, 4 * w, stride=2, reflected=border),
        ]
        for block in range(1, self.residual_blocks + 1):
            chain += [
                Convolution(f"r{block}a", 4 * w, 4 * w, padding=within, reflected=border),
                Convolution(
                    f"r{block}b", 4 * w, 4 * w, padding=within, rectified=False, skip=True, reflected=border
                ),
            ]
        return (
            *chain,
            Convolution("u1", 4 * w, 2 * w, enlarged=upsampling, reflected=border, stride_px=2),
            Convolution("u2", 2 * w, w, enlarged=upsampling, reflected=border, stride_px=1),
            Convolution(
                "c2", w, 3, 9, padding=4, normalised=False, rectified=False, reflected=border, stride_px=1
            ),
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
    TransformationArchitecture("johnson", 32, 5, reflected=True, bounded=False),
)
ARCHITECTURES: Mapping[str, TransformationArchitecture] = {each.name: each for each in _ARCHITECTURES}
"""`narrow`: the authors' `c9s1-16,d32,d64,R64x5,u32,u16,c9s1-3`; `wide`: twice the channels everywhere;
`johnson`: what `impasto import-network` reads, with as many channels as `wide`."""


def surrounded(layers: Iterable[Convolution], size: Size) -> Size:
    """The size of what a network makes of an image before its first layer: reflected outwards."""
    margin_px = STRIDE_PX * sum(layer.skip_crop for layer in layers)
    return Size(*(align_up(length, STRIDE_PX) + 2 * margin_px for length in (size.height, size.width)))


def held_bytes(layers: Iterable[Convolution], size: Size, bytes_per_value: int) -> int:
    """What `settle` holds at the most of an image: three layers of the smallest size, one after the other.

    In files, which have whole blocks; in memory it is a little less.
    """
    chain, held = tuple(layers), []
    inside = surrounded(chain, size)
    for layer in chain:
        inside = layer.size_of(inside)
        if layer.stride_px == STRIDE_PX:
            area = align_up(inside.height, _BLOCK) * align_up(inside.width, _BLOCK)
            held.append(layer.outputs * area * bytes_per_value)
    return max(sum(held[index : index + _HELD_AT_ONCE]) for index in range(len(held)))


def pass_bytes_per_px(layers: Iterable[Convolution]) -> float:
    """What a pass holds for each pixel of its tile.

    The full-sized layers decide: with their copies in several precisions, halos and what the allocator keeps,
    a pass was measured to take 16 times the widest. Meanwhile the next tile is read, of the picture or of a
    held layer, and the last one written to where it is held: twice each, as files are laid out otherwise.
    """
    chain = tuple(layers)
    held = max(layer.outputs for layer in chain if layer.stride_px == STRIDE_PX) / STRIDE_PX**2
    beside = 2 * (max(chain[0].inputs, held) + held)
    return 4 * (16 * max(layer.outputs / layer.stride_px**2 for layer in chain) + beside)


def tile_for(layers: Iterable[Convolution], budget_mib: int) -> int:
    """The largest tile side whose passes fit half of a memory budget, but never below 128 px.

    The other half is for what is held.
    """
    side = int((budget_mib / 2 * _MIB / pass_bytes_per_px(layers)) ** 0.5)
    return max(2 * TILE_STEP_PX, align_down(side, TILE_STEP_PX))


def around_px(layers: Iterable[Convolution], *, held: bool) -> int:
    """By how many pixels what a box of the painting is computed from is longer than the box, at the most.

    Args:
        layers: The chain.
        held: Whether the last layer of the smallest size is held; else everything starts from the picture.
    """
    box, most = Box.whole(Size(TILE_STEP_PX, TILE_STEP_PX)), 0
    chain = tuple(layers)
    for index in range(len(chain) - 1, -1, -1):
        if held and chain[index].stride_px == STRIDE_PX:
            break
        box = chain[index].reads(box)
        stride_px = chain[index - 1].stride_px if index else 1
        most = max(most, box.size.height * stride_px - TILE_STEP_PX)
    return most


def piece_for(layers: Iterable[Convolution], tile_px: int, *, held: bool) -> Size:
    """The piece of the painting that reads least around it, of those that read no more than a tile does.

    Such a tile starts from what is held, whatever the piece starts from.
    No higher than a row of a file's tiles, so that memory does not grow with the image's width; but never
    below 64x64 px. Its sides divide 256 px or are multiples of it.
    """
    chain = tuple(layers)
    around = around_px(chain, held=held)
    room_px = (tile_px + around_px(chain, held=True)) ** 2
    pieces = [Size(TILE_STEP_PX, TILE_STEP_PX)]
    for height in (ROW_PX, ROW_PX // 2, TILE_STEP_PX):
        width = _divisible(room_px // (height + around) - around)
        if width:
            pieces.append(Size(height, width))
    return max(pieces, key=lambda piece: piece.area / ((piece.height + around) * (piece.width + around)))


def _divisible(length_px: int) -> int:
    """The largest length up to this one that divides `ROW_PX` or is a multiple of it; 0 below 64 px."""
    if length_px >= ROW_PX:
        return align_down(length_px, ROW_PX)
    return next((step for step in (ROW_PX // 2, TILE_STEP_PX) if step <= length_px), 0)
