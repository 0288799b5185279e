"""Content and style images at the levels' sizes and colours, and mixtures of styles: their plans and keys.

A pure function of the settings and image sizes, without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import final

from pipeline.budget import Demand, tiling
from pipeline.config.controls import Region, Style
from pipeline.config.models import ArtworkSettings, Compute, last_repeats
from pipeline.config.sections import Network
from pipeline.errors import UnfitError
from pipeline.geometry import Size
from pipeline.inspection import SizeOf
from pipeline.layers import STYLE_LAYERS
from pipeline.level_plans import MixPlan
from pipeline.pyramid import SMALLEST_SIDE_PX, Level
from pipeline.recolouring import Palette
from pipeline.shared_plans import ImagePlan, Recolouring, make_key

SOFT_UPSCALE = 1.5
"""An image that is enlarged more than this has no detail of its own at its new size."""


@final
@dataclass(frozen=True, slots=True)
class LevelImages:
    """Gathers the images that an artwork needs at its levels while its plan is made.

    Attributes:
        artwork: The settings.
        levels: Lowest first.
        compute: The machine's share of the settings.
        size_of: Reads an image's size.
        source: Gives the key of the prepared image of a path.
        palette: What happens to colours.
        where: The artwork's key in the configuration, for errors.
        warn: Called with what the user should know.
        images: Images at a level's size and colours by key.
        mixes: Mixed style images by key.
    """

    artwork: ArtworkSettings
    levels: tuple[Level, ...]
    compute: Compute
    size_of: SizeOf
    source: Callable[[Path], str]
    palette: Palette
    where: str
    warn: Callable[[str], None]
    images: dict[str, ImagePlan] = field(default_factory=dict)
    mixes: dict[str, MixPlan] = field(default_factory=dict)

    def content(self, prepared: str, index: int) -> str:
        """The key of the content image at the level of this index."""
        return self._image(prepared, self.levels[index].size, self.palette.of_content())

    def coloured(self, prepared: str, index: int) -> str:
        """The key of the same with its colours where the level has luma alone, as networks know images."""
        in_colours = tuple(how for how in self.palette.of_content() if how.mode != "luma")
        return self._image(prepared, self.levels[index].size, in_colours)

    def plain(self, prepared: str, size: Size) -> str:
        """The key of an image at a size, in its own colours."""
        return self._image(prepared, size, ())

    def style(self, style: Style, region: Region, index: int, network: Network) -> str:
        """The key of a style's image at the level of this index, or of its mixture with a fine one.

        Raises:
            UnfitError: The image would be too thin there.
            DoesNotFitError: The mixture does not fit the memory budget.
        """
        level = self.levels[index]
        size = self._style_size(style.image, style.scale, level, network)
        prepared = self.source(style.image)
        if style.fine is None:
            return self._image(prepared, size, self.palette.of_style(style, region))
        coarse, fine = self.palette.of_mixed(style, style.fine, region)
        fine_size = self._style_size(style.fine, style.fine_scale, level, network)
        mixing = self.artwork.mixing
        up_to_layer = last_repeats(mixing.up_to_layer, index)
        network_of_mix = network.model_copy(
            update={
                "style_layers": _taken_layers(network, up_to_layer),
                "content_layers": (),
                "layer_weights": {},
            }
        )
        iterations = last_repeats(mixing.iterations, index)
        demand = Demand(network_of_mix, self.artwork.optimiser, 0, iterations, self.compute.precision)
        lowest = index == 0
        plan = MixPlan(
            start=self._image(prepared, size, coarse)
            if lowest
            else self.style(style, region, index - 1, network),
            lowest=lowest,
            fine=self._image(self.source(style.fine), fine_size, fine),
            height=size.height,
            width=size.width,
            iterations=iterations,
            up_to_layer=up_to_layer,
            network=network_of_mix,
            optimiser=self.artwork.optimiser,
            compute=self.compute.for_pixels(),
            **asdict(
                tiling(
                    Level(level.px, size),
                    demand,
                    self.compute.memory_budget_mib,
                    self.artwork.devices or self.compute.devices,
                    self.compute.host_budget_mib,
                )
            ),
        )
        stem = f"{prepared.rpartition('-')[0]}-{size}-with-{style.fine.stem}"
        key = make_key(stem, plan.without_costs().model_dump(mode="json"))
        self.mixes[key] = plan
        return key

    def _image(self, prepared: str, size: Size, recolourings: tuple[Recolouring, ...]) -> str:
        plan = ImagePlan(prepared=prepared, height=size.height, width=size.width, recolourings=recolourings)
        key = make_key(f"{prepared.rpartition('-')[0]}-{size}", plan.model_dump(mode="json"))
        self.images[key] = plan
        return key

    def _style_size(self, path: Path, scale: float, level: Level, network: Network) -> Size:
        """A style image's size at a level; refuses what is too small and warns of what will disappoint."""
        native = self.size_of(path)
        size = native.of_area(round(level.px * scale))
        shorter = min(size.height, size.width)
        deepest = network.architecture.deepest(network.style_layers)
        if shorter < SMALLEST_SIDE_PX:
            raise UnfitError(
                f"{self.where}.regions",
                expected=f"style images of {SMALLEST_SIDE_PX} px at least on their shorter side",
                found=f"{size} px (height x width) for {path} at level {level.px}",
                fix="Raise the style's scale or the lowest level, or crop the style image",
            )
        if shorter < deepest.receptive_field_px:
            self.warn(
                f"{path} is {size} px at level {level.px}, and {deepest.name} sees "
                f"{deepest.receptive_field_px} px at once: the style's large shapes will be missing there"
            )
        if size.height > SOFT_UPSCALE * native.height:
            self.warn(
                f"{path} ({native} px) is enlarged {size.height / native.height:.1f} times at level "
                f"{level.px}: its brushwork will look soft there"
            )
        return size


def _taken_layers(network: Network, up_to: str) -> tuple[str, ...]:
    """The layers whose Gram matrices a mixture takes: the first of each block, and the named one."""
    order = network.architecture.names
    taken = {name for name in STYLE_LAYERS if order.index(name) <= order.index(up_to)} | {up_to}
    return tuple(name for name in order if name in taken)
