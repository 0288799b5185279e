"""Which colours change where: an artwork's colour control as recolourings of its content and styles.

A pure function of the settings, without torch. A region has the artwork's colour control or its own; its
styles meet the colours of the part of the content that it covers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from pipeline.config.controls import Colour, Region, Style
from pipeline.config.models import ArtworkSettings
from pipeline.shared_plans import Area, Recolouring


@final
@dataclass(frozen=True, slots=True)
class Palette:
    """What an artwork's recolourings are made from.

    Attributes:
        artwork: The settings.
        content: Key of the prepared content image.
        areas: Where each region is, by its label; None where that is everywhere.
        source: Gives the key of the prepared image of a path.
        style_area: Gives the part of a style image that counts; None where all of it does.
    """

    artwork: ArtworkSettings
    content: str
    areas: Mapping[str, Area | None]
    source: Callable[[Path], str]
    style_area: Callable[[Style], Area | None]

    def colour(self, region: Region) -> Colour:
        """The colour control that holds in a region."""
        return region.colour or self.artwork.colour

    def of_content(self) -> tuple[Recolouring, ...]:
        """What happens to the content: one recolouring all over, or one for each region that asks for it."""
        regions = self.artwork.regions
        if all(self.colour(region).mode == "luminance" for region in regions):
            return (Recolouring(mode="luma"),)
        own = [self.colour(region) for region in regions if region.colour is not None]
        if not own and self.artwork.colour.mode == "content_to_style" and not self.artwork.colour.per_region:
            return (self._to_style(self.artwork.colour, regions[0], None),)
        found = []
        for region in regions:
            colour, area = self.colour(region), self.areas[region.label]
            if colour.mode == "luminance":
                found.append(Recolouring(mode="luma", area=area))
            elif colour.mode == "content_to_style":
                found.append(self._to_style(colour, region, area))
        return tuple(found)

    def of_style(self, style: Style, region: Region) -> tuple[Recolouring, ...]:
        """What happens to a style image of a region; statistics are those of the part its mask leaves."""
        colour = self.colour(region)
        area = self.style_area(style)
        covered = self.areas[region.label] if colour.per_region else None
        if colour.mode == "style_to_content":
            third = colour.source is not None
            reference = self.source(colour.source) if colour.source is not None else self.content
            return (
                Recolouring(
                    mode="linear",
                    transform=colour.transform,
                    reference=reference,
                    area=area,
                    reference_area=None if third else covered,
                    everywhere=area is not None,
                ),
            )
        if colour.mode == "luminance":
            return (
                Recolouring(
                    mode="luma",
                    reference=self.content,
                    luma_match=colour.luma_match,
                    area=area,
                    reference_area=covered,
                    everywhere=area is not None,
                ),
            )
        return ()

    def of_mixed(
        self, style: Style, fine: Path, region: Region
    ) -> tuple[tuple[Recolouring, ...], tuple[Recolouring, ...]]:
        """What happens to the coarse and the fine image before they are mixed.

        Where the colour control recolours styles, both take the colours it asks for; else one may take the
        other's, as `mixing.colours` says.
        """
        coarse = self.of_style(style, region)
        if coarse:
            return coarse, self.of_style(Style(image=fine), region)
        transform = self.colour(region).transform
        match self.artwork.mixing.colours:
            case "coarse":
                reference = self.source(style.image)
                return (), (Recolouring(mode="linear", transform=transform, reference=reference),)
            case "fine":
                return (Recolouring(mode="linear", transform=transform, reference=self.source(fine)),), ()
            case "own":
                return (), ()

    def luminance_areas(self) -> tuple[Area, ...] | None:
        """Where the content's chroma comes back in the end: everywhere (an empty tuple), in areas, or not."""
        regions = [r for r in self.artwork.regions if self.colour(r).mode == "luminance"]
        if not regions:
            return None
        if len(regions) == len(self.artwork.regions):
            return ()
        return tuple(area for area in (self.areas[region.label] for region in regions) if area is not None)

    def _to_style(self, colour: Colour, region: Region, area: Area | None) -> Recolouring:
        style = region.styles[0]
        # The whole of a third image counts; of a style, the part that the region takes from it.
        reference, mask = colour.source, None
        if reference is None and style.fine is not None and self.artwork.mixing.colours == "fine":
            # The mixture that the content will be painted with has the fine image's colours.
            reference = style.fine
        if reference is None:
            reference, mask = style.image, self.style_area(style)
        return Recolouring(
            mode="linear",
            transform=colour.transform,
            reference=self.source(reference),
            area=area,
            reference_area=mask,
            measured_everywhere=area is not None and not colour.per_region,
        )
