"""What the report shows, as values: the page is a pure function of these and of the pictures' bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from pipeline.geometry import Box, Size

MM_PER_INCH = 25.4


@final
@dataclass(frozen=True, slots=True)
class Picture:
    """A picture for the page (PNG or JPEG).

    Attributes:
        path: The file.
        alt: What is to be seen on it, in words.
        inside: Whether it goes into the page, since the file will not stay.
    """

    path: Path
    alt: str
    inside: bool = False


@final
@dataclass(frozen=True, slots=True)
class Tiles:
    """The full image in Deep Zoom tiles.

    Attributes:
        folder: Where the folders of its levels lie.
        size: Of the full image.
        tile_px: Side of a tile, without what it shares with its neighbours.
        overlap_px: What a tile shares with a neighbour.
        format: The tiles' suffix.
    """

    folder: Path
    size: Size
    tile_px: int
    overlap_px: int
    format: str


@final
@dataclass(frozen=True, slots=True)
class Crop:
    """The part of the content image that a print shows.

    Attributes:
        size: The whole image's.
        box: The part, in its pixels.
        focus: The point that the part was laid around, as (x, y) in shares of the image.
        found: Whether the point was found; else it is the user's.
    """

    size: Size
    box: Box
    focus: tuple[float, float]
    found: bool


@final
@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage of an artwork took.

    Attributes:
        name: As it is to be read.
        seconds: Wall time.
        memory_mib: What its job held at most; None where it was not measured.
        shared: Whether it was done once for all artworks that need it.
    """

    name: str
    seconds: float
    memory_mib: float | None
    shared: bool = False


@final
@dataclass(frozen=True, slots=True)
class Mixture:
    """What a mixed style image was made from.

    Attributes:
        coarse: The image whose large shapes it has.
        fine: The image whose fine structure it has.
        up_to_layer: The deepest layer that was taken from the fine image.
        iterations: Steps that the optimiser accepted.
        ending: Why it stopped.
    """

    coarse: Picture
    fine: Picture
    up_to_layer: str
    iterations: int
    ending: str


@final
@dataclass(frozen=True, slots=True)
class AutomaticMask:
    """A mask that was found in an image, by itself or as a part of another.

    Attributes:
        method: What found it: `person`, `person + sam_vit_b`.
        image: The name of the image that it was found in.
        coverage: Its mean there, in [0, 1].
        confidence: How far it can be trusted, in [0, 1].
        scores: One for each person who was found, surest first; none where people were not counted.
        warnings: What a user should know.
    """

    method: str
    image: str
    coverage: float
    confidence: float
    scores: Sequence[float] = ()
    warnings: Sequence[str] = ()


@final
@dataclass(frozen=True, slots=True)
class StylePicture:
    """A style image and what it paints.

    Attributes:
        picture: The image as it was used.
        region: The region that it paints.
        weight: Its share there.
        mixture: What it was mixed from, if it was.
        mask: The part of it that counts, in words; empty where all of it does.
        found: The automatic masks in that.
        name: What to call the image: its file's name.
    """

    picture: Picture
    region: str
    weight: float
    mixture: Mixture | None = None
    mask: str = ""
    found: Sequence[AutomaticMask] = ()
    name: str = ""


@final
@dataclass(frozen=True, slots=True)
class MaskPicture:
    """A region's mask: white inside, black outside, greys where it is soft.

    Attributes:
        picture: The mask, of the content's aspect ratio.
        region: The region's name.
        coverage: The mask's mean, in [0, 1].
        method: Where it came from: `person`, a file's name, what was combined.
        found: The automatic masks that it was made from.
    """

    picture: Picture
    region: str
    coverage: float
    method: str
    found: Sequence[AutomaticMask] = ()


@final
@dataclass(frozen=True, slots=True)
class Cover:
    """How far the regions of an artwork are a division of its picture.

    Attributes:
        uncovered: The share of the picture that no region covers, in [0, 1].
        overlapping: The share that is covered once too often.
        picture: White where no region is; None where that is too little to be seen.
    """

    uncovered: float
    overlapping: float
    picture: Picture | None = None


@final
@dataclass(frozen=True, slots=True)
class LevelResult:
    """One level of the pyramid.

    Attributes:
        level_px: The square root of the level's area.
        size: The level's image.
        picture: A preview of its result.
        iterations: Steps that the optimiser accepted.
        passes: The work done: forward and gradient passes over the image, counted together.
        seconds: Wall time.
        trace: (passes, loss) pairs; passes are counted from this level's start.
        terms: The same for each term of the loss, by name; empty when terms were not kept.
        tile_px: Side of a tile's core, None where the level was computed as a whole.
        memory_mib: The most that was in memory, None where it was not measured.
        painted_by: The styles of the trained network that painted it; empty where it was optimised.
        is_last_step_checked: Whether the trace ends with the loss of the result.
    """

    level_px: int
    size: Size
    picture: Picture
    iterations: int
    passes: int
    seconds: float
    trace: Sequence[tuple[int, float]]
    terms: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    tile_px: int | None = None
    memory_mib: float | None = None
    painted_by: str = ""
    is_last_step_checked: bool = True

    @property
    def loss_first(self) -> float | None:
        """The first loss of the trace; None when there is no trace."""
        return self.trace[0][1] if self.trace else None

    @property
    def loss_last(self) -> float | None:
        """Of the result; None when it was not evaluated."""
        return self.trace[-1][1] if self.trace and self.is_last_step_checked else None


@final
@dataclass(frozen=True, slots=True)
class Artwork:
    """One artwork; `levels` are lowest first, `settings` and `provenance` hold plain JSON values.

    Attributes:
        name: Its name.
        width_px: Of the result.
        height_px: Of the result.
        dpi: Of the print.
        content: The photograph.
        result: The result.
        styles: Style images by region.
        masks: Regions' masks; none where one style covers everything.
        levels: Of the pyramid.
        settings: What its configuration says, as it can be written there.
        provenance: The record of its making.
        warnings: What a user should know, a sentence each.
        cover: How far the masks divide the picture; None where there are none.
        thumbnail: A smaller picture of the result for the collection's page; None takes the result.
        tiles: The full image, where it was cut into tiles.
        quality: What was measured of the result.
        proof: What the print's profile makes of the result.
        stages: What each of its jobs took.
        finished_mm: Width and height of the finished print, where bleed or paper make it another size than
            the result; None takes the result's.
        remarks: What there is to know of the print, a few words each.
        crop: Which part of the content is shown; None where it is all of it.
        gamut: The result with what its profile cannot print marked.
    """

    name: str
    width_px: int
    height_px: int
    dpi: float
    content: Picture
    result: Picture
    styles: Sequence[StylePicture]
    masks: Sequence[MaskPicture]
    levels: Sequence[LevelResult]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]
    warnings: Sequence[str] = ()
    cover: Cover | None = None
    thumbnail: Picture | None = None
    tiles: Tiles | None = None
    quality: Mapping[str, Any] = field(default_factory=dict)
    proof: Picture | None = None
    stages: Sequence[Stage] = ()
    finished_mm: tuple[float, float] | None = None
    remarks: Sequence[str] = ()
    crop: Crop | None = None
    gamut: Picture | None = None

    @property
    def small(self) -> Picture:
        """The picture for the collection's page."""
        return self.thumbnail or self.result

    @property
    def style_names(self) -> list[str]:
        """What to call its style images, without repeats."""
        return list(dict.fromkeys(style.name for style in self.styles if style.name))

    @property
    def words(self) -> list[str]:
        """What it can be found by."""
        regions = [style.region for style in self.styles]
        return list(dict.fromkeys([self.name, self.content.alt, *self.style_names, *regions]))

    @property
    def memory_mib(self) -> float | None:
        """The most that any level had in memory; None where it was not measured."""
        return max((level.memory_mib for level in self.levels if level.memory_mib), default=None)

    @property
    def width_cm(self) -> float:
        """Width of the print."""
        width_mm = self.finished_mm[0] if self.finished_mm else self.width_px / self.dpi * MM_PER_INCH
        return width_mm / 10

    @property
    def height_cm(self) -> float:
        """Height of the print."""
        height_mm = self.finished_mm[1] if self.finished_mm else self.height_px / self.dpi * MM_PER_INCH
        return height_mm / 10

    @property
    def loss_last(self) -> float | None:
        """Of the last level's result; None when it was not evaluated."""
        return self.levels[-1].loss_last if self.levels else None

    @property
    def seconds(self) -> float:
        """Wall time of all levels together."""
        return sum(level.seconds for level in self.levels)


@final
@dataclass(frozen=True, slots=True)
class Credit:
    """Whom to thank for a model or a picture.

    Attributes:
        what: The thing: `VGG-16 weights`, `The Scream`.
        who: Its authors.
        licence: `CC BY 4.0`, `Apache-2.0`, `public domain`.
        licence_url: Where the licence can be read; `https://` or empty.
    """

    what: str
    who: str
    licence: str
    licence_url: str = ""

    def __post_init__(self) -> None:
        if self.licence_url and not self.licence_url.startswith("https://"):
            raise ValueError(f"a licence's address starts with https://; got {self.licence_url!r}")


@final
@dataclass(frozen=True, slots=True)
class Collection:
    """A collection of artworks and the facts of its page.

    Attributes:
        title: The page's heading.
        artworks: In the order of the page.
        credits: Shown at the foot.
        created: The time of making, as it is to be read; the page holds no other time.
        version: Impasto's version.
    """

    title: str
    artworks: Sequence[Artwork]
    credits: Sequence[Credit]
    created: str
    version: str
