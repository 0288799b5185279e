"""The files that an artwork names, looked at before any work: whether they are there and fit one another.

Names and image headers are all that is read; no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar, cast, final

from pipeline.canvas import MIN_SIDE_PX, Profile, check_print, check_sides, read_header, read_profile
from pipeline.combination import Expression
from pipeline.config.masks import mask_files
from pipeline.config.models import Artwork, Config, WeightsSource
from pipeline.config.printing import Print
from pipeline.config.sections import Network
from pipeline.errors import ConfigError, InputError
from pipeline.formats import ColourSpace
from pipeline.geometry import Size
from pipeline.masking import check_lengths
from pipeline.weights import REGISTRY

_OTHER_SHAPE = 1.02

SizeOf = Callable[[Path], Size]
"""Gives an image's (height, width) from its header, or an InputError."""


_Found = TypeVar("_Found")


@final
class SeenFiles:
    """The user's files as one reading of the configuration sees them: each is looked at once.

    Called with a path it gives an image's size, as a `SizeOf` does. It lives as long as that reading: what
    changes between two of them is seen.

    Args:
        size_of: Reads an image's size.
    """

    def __init__(self, size_of: SizeOf) -> None:
        self._size_of = cache(size_of)
        self._found: dict[Hashable, object] = {}

    @classmethod
    def of(cls, size_of: SizeOf) -> SeenFiles:
        """What was seen by `size_of` already, if it is one of these; else nothing as yet."""
        return size_of if isinstance(size_of, cls) else cls(size_of)

    def __call__(self, path: Path) -> Size:
        """The image's (height, width).

        Raises:
            InputError: There is no such image, or it cannot be one.
        """
        return self._size_of(path)

    def once(self, look: Callable[[Path], _Found], path: Path) -> _Found:
        """What `look` finds at `path`; an error is not remembered."""
        return self.remembered((look, path), lambda: look(path))

    def remembered(self, what: Hashable, find: Callable[[], _Found]) -> _Found:
        """What `find` gave when it was asked for `what` first; an error is not remembered."""
        if what not in self._found:
            self._found[what] = find()
        return cast("_Found", self._found[what])


def checked_size(size_of: SizeOf, path: Path, key: str, min_side_px: int = 1) -> Size:
    """The size of an image that the configuration names at `key`.

    Raises:
        InputError: It cannot be looked at, or has a shorter side than `min_side_px`; the error says the key.
    """
    try:
        size = size_of(path)
        check_sides(path, size, min_side_px)
    except InputError as error:
        raise InputError.stating(f"{key}: {error}") from None
    except OSError as error:
        found = f"{path}: {(error.strerror or str(error)).lower()}"
        raise InputError(key, expected="an image file", found=found) from None
    return size


def has_opacity(path: Path) -> bool:
    """Whether an image has opacity by its header; not if it is still to be made."""
    return path.exists() and read_header(path, min_side_px=1).has_alpha


def file_warnings(
    artwork: Artwork, seen: SeenFiles, crop: Size | None, dpi: float, where: str
) -> Iterator[str]:
    """Looks at every file that the artwork names, and gives what the user should know of them.

    Args:
        artwork: The settings.
        seen: Looks at files.
        crop: The size of the content image's part that is used; None for all of it.
        dpi: That part's pixels per inch of the print.
        where: The artwork's key in the configuration, for errors.

    Raises:
        InputError: A file cannot be read or is too small.
        UnfitError: A mask is changed by a length that is longer than its image.
    """

    def size(path: Path, key: str, min_side_px: int = 1) -> Size:
        return checked_size(seen, path, f"{where}.{key}", min_side_px)

    def mask_warnings(mask: Expression, key: str, image: Size, what: str) -> Iterator[str]:
        for file in mask_files([mask]):
            found = size(file, key)
            ratio = (found.height * image.width) / (found.width * image.height)
            if max(ratio, 1 / ratio) > _OTHER_SHAPE:
                yield f"{file} ({found} px) has another shape than its {what} ({image} px) and is stretched"

    content = size(artwork.content, "content", MIN_SIDE_PX)
    for index, region in enumerate(artwork.regions):
        key = f"regions.{index}"
        yield from mask_warnings(region.where, f"{key}.where", content, "content image")
        what = "content image" if crop is None else "cropped content image"
        check_lengths(region.where, crop or content, dpi, f"{where}.{key}.where", what)
        for style in region.styles:
            image = size(style.image, f"{key}.style", MIN_SIDE_PX)
            if style.mask is not None:
                yield from mask_warnings(style.mask, f"{key}.style.mask", image, "style image")
                check_lengths(style.mask, image, dpi, f"{where}.{key}.style.mask", "style image")
            if style.fine is not None:
                size(style.fine, f"{key}.style.fine", MIN_SIDE_PX)
        if region.colour is not None and region.colour.source is not None:
            size(region.colour.source, f"{key}.colour.source")
    if artwork.colour.source is not None:
        size(artwork.colour.source, "colour.source")
    yield from _means_warnings(artwork.network, where)
    yield from _opacity_warnings(artwork, seen)


def _opacity_warnings(artwork: Artwork, seen: SeenFiles) -> Iterator[str]:
    styles = [style for region in artwork.regions for style in region.styles]
    whole = [style.image for style in styles if style.mask is None]
    fine = [style.fine for style in styles if style.fine is not None]
    for image in dict.fromkeys([*whole, *fine]):
        if seen.once(has_opacity, image):
            yield (
                f"{image} has opacity, by which a style image's brushwork is not weighed: the colours hidden "
                "where it is transparent are painted too, unless it is laid on a ground or has a `mask`"
            )


def _means_warnings(network: Network, where: str) -> Iterator[str]:
    means = network.channel_means
    if network.normalised and means is None and network.pooling != "max":
        yield (
            "the channel means that come with the package were measured with max pooling: with "
            f"{network.pooling} pooling a filter's mean is only about 1"
        )
    if means is not None and not means.is_file():
        raise InputError(
            f"{where}.network.channel_means",
            expected="a file made by `impasto calibrate`",
            found=f"none at {means}",
        )


def check_prints(
    settings: Print, size: Size, where: str, profile_at: Callable[[Path], Profile] = read_profile
) -> None:
    """Checks that the print files can be: that each format holds them, and the profile can be printed with.

    Args:
        settings: The print's settings.
        size: Of the print file.
        where: Their key in the configuration, for errors.
        profile_at: Reads an ICC profile, or raises an InputError.

    Raises:
        ConfigError: A format cannot hold the bits or the colours; an UnfitError where it is the size.
        InputError: The profile is missing, damaged or of a wrong class.
    """
    space: ColourSpace = "RGB"
    if settings.profile is not None:
        try:
            space = profile_at(settings.profile).space
        except InputError as error:
            raise InputError.stating(f"{where}.profile: {error}") from None
    for form in settings.forms:
        check_print(form.name, size, settings.encoding, space, f"{where}.")


def weights_sources(
    config: Config,
    name: str,
    needed: Iterable[str],
    where: str,
    is_file: Callable[[Path], bool] = Path.is_file,
) -> dict[str, WeightsSource | None]:
    """The model files that artwork `name` needs, each with the source the user gave, or None.

    Args:
        config: The configuration.
        name: A key of its artworks.
        needed: The model files' names.
        where: The configuration's name, for errors.
        is_file: Whether there is a file.

    Raises:
        ConfigError: One cannot be fetched by name, and the user gave none.
        InputError: The user's own file is not there.
    """
    given: Mapping[str, WeightsSource] = {str(key): source for key, source in config.weights.items()}
    found: dict[str, WeightsSource | None] = {}
    for file in needed:
        source = given.get(file)
        if source is None and not REGISTRY[file].sources:
            raise ConfigError(
                f"{where}: weights.{file}",
                expected=f"its path, or its url and sha256: artworks.{name} needs this model file, "
                "and it cannot be fetched by name",
                found="nothing",
            )
        if source is not None and source.path is not None and not is_file(source.path):
            raise InputError(
                f"{where}: weights.{file}.path", expected="a file", found=f"none at {source.path}"
            )
        found[file] = source
    return found
