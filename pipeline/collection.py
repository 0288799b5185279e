"""The collection as the workflow sees it: every artwork's plan, and which file needs which.

Torch-free; a function of the configuration and the image headers. The rules ask it for inputs, parameters and
resources and hold no logic of their own.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

from pipeline.config.models import Config, WeightsSource
from pipeline.config.reading import for_artwork, parse, read_yaml
from pipeline.config.sections import Network
from pipeline.errors import ConfigError
from pipeline.geometry import Size
from pipeline.headers import HeaderCache
from pipeline.mask_files import MaskFiles
from pipeline.plan import LevelPlan, MixPlan, Plan
from pipeline.planning import resolve
from pipeline.shared_plans import CombinationPlan, ImagePlan, MaskPlan, PartitionPlan, TargetPlan

_IMAGE_STAGE_MIB = 1024
_NETWORK_STAGE_MIB = 2560
# vit_b was measured (4.8 GiB); of the others, what their larger weights and attention add to it.
_SAM_STAGE_MIB = {
    None: _NETWORK_STAGE_MIB,
    "vit_t": _NETWORK_STAGE_MIB,
    "vit_b": 5632,
    "vit_l": 9216,
    "vit_h": 13312,
}

# Six float32 planes of a part's matte, and what fitting it takes.
_PART_MIB = 64


@final
@dataclass(frozen=True)
class Collection:
    """All artworks of a configuration, resolved; what they share is listed once.

    Attributes:
        config: The configuration.
        plans: The plan of each artwork, by name.
    """

    config: Config
    plans: Mapping[str, Plan]
    sources: Mapping[str, Path]
    masks: Mapping[str, MaskPlan]
    partitions: Mapping[str, PartitionPlan]
    combinations: Mapping[str, CombinationPlan]
    images: Mapping[str, ImagePlan]
    mixes: Mapping[str, MixPlan]
    targets: Mapping[str, TargetPlan]
    weights: Mapping[str, WeightsSource | None]

    @property
    def results(self) -> str:
        """The folder of the results, as written in the configuration."""
        return self.config.results_dir.as_posix()

    @property
    def resources(self) -> str:
        """The folder of weights and demo inputs, as written in the configuration."""
        return self.config.resources_dir.as_posix()

    # -- paths of what artworks share ------------------------------------------------------------

    def prepared_file(self, key: str) -> str:
        """The prepared image of this key."""
        return f"{self.results}/shared/prepared/{key}.tif"

    def image_file(self, key: str) -> str:
        """The image of this key at its level's size and colours, or the mixture."""
        return f"{self.results}/shared/{'mixed' if key in self.mixes else 'images'}/{key}.tif"

    @cached_property
    def mask_files(self) -> MaskFiles:
        """Where masks lie."""
        folder = f"{self.results}/shared/masks"
        return MaskFiles(folder, self.masks, self.partitions, self.combinations)

    def target_file(self, key: str) -> str:
        """The style statistics of this key."""
        return f"{self.results}/shared/targets/{key}.safetensors"

    def weights_file(self, name: str) -> str:
        """The model file of this name."""
        return f"{self.resources}/weights/{name}.safetensors"

    # -- an artwork's levels ---------------------------------------------------------------------

    def level(self, artwork: str, level: str | int) -> LevelPlan:
        """A level of an artwork."""
        return self.plans[artwork].level(int(level))

    def level_dir(self, artwork: str, level: str | int) -> str:
        """The folder of a level's files."""
        return f"{self.results}/{artwork}/levels/{level}"

    def result_file(self, artwork: str, level: str | int) -> str:
        """The rendered image of a level: stylised at the lowest, refined above it."""
        lowest = self.plans[artwork].levels[0].level_px
        name = "stylised" if int(level) == lowest else "refined"
        return f"{self.level_dir(artwork, level)}/{name}.tif"

    def result_below(self, artwork: str, level: str | int) -> str:
        """The rendered image of the level below; asking below the lowest is a KeyError."""
        names = [plan.level_px for plan in self.plans[artwork].levels]
        index = names.index(int(level))
        if index == 0:
            raise KeyError(f"{artwork} has no level below {level}")
        return self.result_file(artwork, names[index - 1])

    def top_result(self, artwork: str) -> str:
        """The rendered image of the highest level."""
        return self.result_file(artwork, self.plans[artwork].levels[-1].level_px)

    def level_results(self, artwork: str) -> list[str]:
        """Each level's rendered image, lowest first."""
        return [self.result_file(artwork, level.level_px) for level in self.plans[artwork].levels]

    def level_records(self, artwork: str) -> list[str]:
        """What was recorded of each level, lowest first."""
        return [file.removesuffix(".tif") + ".json" for file in self.level_results(artwork)]

    def mask_records(self, artwork: str) -> list[str]:
        """What was recorded of the automatic masks that an artwork uses."""
        return [f"{self.results}/shared/masks/{key}.json" for key in self.plans[artwork].masks]

    def partition_records(self, artwork: str) -> list[str]:
        """What was recorded of the images in parts that an artwork uses."""
        return [f"{self.mask_files.partition_folder(key)}.json" for key in self.plans[artwork].partitions]

    def mixture_records(self, artwork: str) -> list[str]:
        """What was recorded of the mixtures that an artwork uses."""
        return [f"{self.results}/shared/mixed/{key}.json" for key in self.plans[artwork].mixes]

    def top_styles(self, artwork: str) -> list[str]:
        """The style images as the highest level used them, and what mixtures were made from, once each."""
        plan = self.plans[artwork]
        used = [self.targets[key].image for key in plan.levels[-1].targets]
        sources = [source for key in used if key in plan.mixes for source in plan.mixed_from(key)]
        return [self.image_file(image) for image in dict.fromkeys(used + sources)]

    def artwork_weights(self, artwork: str) -> list[str]:
        """The model files that an artwork needs."""
        return [self.weights_file(name) for name in self.plans[artwork].weights]

    def channel_means(self, artwork: str) -> list[str]:
        """The user's channel means of an artwork's network: a list of one file, or of none."""
        return list(self._means(self.plans[artwork].settings.network).values())

    def artwork_sources(self, artwork: str) -> list[str]:
        """The images and masks that an artwork is made from, as the user wrote them."""
        return [path.as_posix() for path in self.plans[artwork].inputs]

    def guides(self, artwork: str, level: str | int) -> list[str]:
        """The level's guidance channels: a list of one file, or of none when one style covers everything."""
        plan = self.plans[artwork]
        return [f"{self.level_dir(artwork, level)}/guides.tif"] if plan.settings.needs_guidance else []

    def guide_masks(self, artwork: str) -> list[str]:
        """The masks that an artwork's regions are made from, without repeats."""
        return self.mask_files.inputs(self.plans[artwork].areas.values())

    def guide_options(self, artwork: str, level: str | int) -> str:
        """`impasto guide`'s options for this artwork's regions."""
        words: list[str] = []
        for name, area in self.plans[artwork].areas.items():
            words += ["--region", f"{name}={self.mask_files.word(area)}"]
            if self.mask_files.may_be_empty(area):
                words += ["--may-be-empty", name]
        return shlex.join([*words, "--size", str(self.level(artwork, level).size)])

    def level_targets(self, artwork: str, level: str | int) -> list[str]:
        """The style statistics that a level needs, without repeats."""
        return [self.target_file(key) for key in self.level(artwork, level).targets]

    def level_plan(self, artwork: str, level: str | int) -> str:
        """The part of an artwork's plan that a level is rendered by, as one line of JSON."""
        return self.plans[artwork].excerpt(int(level)).model_dump_json()

    # -- shared work -----------------------------------------------------------------------------

    def recolour_inputs(self, key: str) -> dict[str, str | list[str]]:
        """The files that an image at a level is made from."""
        image = self.images[key]
        references = [how.reference for how in image.recolourings if how.reference is not None]
        areas = [area for how in image.recolourings for area in how.areas]
        return {
            "image": self.prepared_file(image.prepared),
            "references": [self.prepared_file(reference) for reference in dict.fromkeys(references)],
            "masks": self.mask_files.inputs(areas),
        }

    def recolour_options(self, key: str) -> str:
        """`impasto recolour`'s options for this image, but for its maps."""
        image = self.images[key]
        return shlex.join(["--size", str(Size(image.height, image.width))])

    def recolour_maps(self, key: str) -> str:
        """The colour maps of this image as one line of JSON, as `impasto recolour --maps` reads them."""
        maps = [
            {
                "mode": how.mode,
                "transform": how.transform,
                "reference": None if how.reference is None else self.prepared_file(how.reference),
                "luma_match": how.luma_match,
                "mask": None if how.area is None else self.mask_files.word(how.area),
                "reference_mask": None
                if how.reference_area is None
                else self.mask_files.word(how.reference_area),
                "everywhere": how.everywhere,
                "measured_everywhere": how.measured_everywhere,
                "may_be_empty": any(self.mask_files.may_be_empty(area) for area in how.areas),
            }
            for how in self.images[key].recolourings
        ]
        return json.dumps(maps)

    def assemble_masks(self, artwork: str) -> list[str]:
        """The masks of the areas where an artwork's chroma is the content's."""
        return self.mask_files.inputs(self.plans[artwork].chroma or ())

    def assemble_options(self, artwork: str) -> str:
        """`impasto assemble`'s options for where an artwork's chroma is the content's."""
        areas = self.plans[artwork].chroma
        if areas is None:
            return ""
        words = ["--colour", "luminance"]
        for area in areas:
            words += ["--luminance-mask", self.mask_files.word(area)]
        return shlex.join(words)

    def mix_inputs(self, key: str) -> dict[str, str]:
        """The files that a mixture is made from."""
        mix = self.mixes[key]
        inputs = {
            "start": self.image_file(mix.start),
            "fine": self.image_file(mix.fine),
            "weights": self.weights_file(mix.network.name),
        }
        return inputs | self._means(mix.network)

    def mix_plan(self, key: str) -> str:
        """The part of a mixture's plan that its pixels depend on, as one line of JSON."""
        return self.mixes[key].without_costs().model_dump_json()

    def _means(self, network: Network) -> dict[str, str]:
        """The user's channel means of a network, as an input where there are some."""
        return {} if network.channel_means is None else {"means": network.channel_means.as_posix()}

    def segment_inputs(self, key: str) -> dict[str, str | list[str]]:
        """The files that an automatic mask is made from."""
        mask = self.masks[key]
        return {
            "image": self.prepared_file(mask.prepared),
            "weights": [self.weights_file(name) for name in mask.settings.weights],
        }

    def partition_inputs(self, key: str) -> dict[str, str]:
        """The files that an image's parts are made from."""
        cut = self.partitions[key]
        return {"image": self.prepared_file(cut.prepared), "weights": self.weights_file(cut.weights)}

    def target_inputs(self, key: str) -> dict[str, str]:
        """The files that style statistics are made from."""
        target = self.targets[key]
        inputs = {
            "image": self.image_file(target.image),
            "weights": self.weights_file(target.network.name),
        }
        if target.mask is not None:
            inputs["mask"] = self.mask_files.inputs([target.mask])[0]
        return inputs | self._means(target.network)

    def target_options(self, key: str) -> str:
        """`impasto targets`' options for these statistics."""
        target = self.targets[key]
        words = ["--network", target.network.name, "--pooling", target.network.pooling]
        words += ["--layers", *target.network.style_layers, "--precision", target.precision]
        words += ["--device", self.config.compute.device, "--threads", str(self.config.compute.threads)]
        if target.mask is not None:
            words += ["--mask", self.mask_files.word(target.mask), "--propagation", target.propagation]
            words += ["--grow-units", str(target.grow_units)]
        if target.network.normalised:
            words.append("--normalised")
        if target.network.channel_means is not None:
            words += ["--channel-means", target.network.channel_means.as_posix()]
        return shlex.join(words)

    def weights_inputs(self, name: str) -> list[str]:
        """The user's own model file of this name: a list of one file, or of none."""
        source = self.weights[name]
        return [] if source is None or source.path is None else [source.path.as_posix()]

    def weights_options(self, name: str) -> str:
        """`impasto fetch-weights`' options for this model file."""
        source = self.weights[name]
        if source is None:
            return ""
        given = {"--path": source.path, "--url": source.url, "--sha256": source.sha256}
        return shlex.join(
            word for option, value in given.items() if value is not None for word in (option, str(value))
        )

    def plan_settings(self, artwork: str) -> str:
        """The part of the configuration that an artwork depends on, as one line of JSON."""
        return json.dumps(for_artwork(self.config, artwork), sort_keys=True)

    # -- what a job asks of a scheduler ----------------------------------------------------------

    @property
    def gpus(self) -> int:
        """Devices that one device job holds: none when the configuration says `cpu`."""
        return 0 if self.config.compute.device == "cpu" else 1

    def image_memory_mib(self) -> int:
        """Memory of a raster stage, whatever the image's size: it streams."""
        return _IMAGE_STAGE_MIB

    def segment_memory_mib(self, key: str) -> int:
        """Memory of finding this mask: that of its networks, which see images of about 1024 px."""
        return _SAM_STAGE_MIB[self.masks[key].settings.sam]

    def partition_memory_mib(self, key: str) -> int:
        """Memory of cutting this image into parts: that of the network, and the parts at about 1024 px."""
        cut = self.partitions[key]
        return _SAM_STAGE_MIB[cut.sam] + cut.parts * _PART_MIB

    def target_memory_mib(self) -> int:
        """Memory of style statistics, whatever the image's size: the network sees tiles."""
        return _NETWORK_STAGE_MIB


def resolve_collection(raw: Any, size_of: Callable[[Path], Size], where: str = "config.yaml") -> Collection:
    """The collection that `raw` (parsed YAML or JSON) describes.

    Raises:
        PipelineError: Anything in the configuration or in an image's header is wrong.
    """
    return _resolved(parse(raw, where), size_of, where)


def open_collection(raw: Any, config_files: Iterable[str | Path], header_cache: Path) -> Collection:
    """The collection of a workflow.

    Args:
        raw: What the workflow made of its configuration files and command line.
        config_files: Those files, to be named in errors.
        header_cache: Where image sizes are remembered between runs.

    Raises:
        PipelineError: Anything in the configuration or in an image's header is wrong.
    """
    files = [_from_here(Path(file)) for file in config_files]
    for file in files:
        # The workflow has read them already, but says nothing of a key that stands twice.
        read_yaml(file)
    where = ", ".join(str(file) for file in files) or "the configuration"
    config = parse(raw, where)
    _check_folder(config.results_dir, f"{where}: results_dir")
    _check_folder(config.resources_dir, f"{where}: resources_dir")
    headers = HeaderCache(header_cache, config.resources_dir / "demo")
    collection = _resolved(config, headers.size_of, where)
    headers.save()
    return collection


def _check_folder(folder: Path, where: str) -> None:
    """Refuses a file in a folder's place, at which the workflow would stumble before its first job."""
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir():
        raise ConfigError(where, expected="a folder, there already or not", found=f"a file at {nearest}")


def _from_here(path: Path) -> Path:
    """The path as a user in the working directory would write it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _resolved(config: Config, size_of: Callable[[Path], Size], where: str) -> Collection:
    plans = {name: resolve(config, name, size_of, where) for name in config.artworks}
    return Collection(
        config=config,
        plans=plans,
        sources={key: path for plan in plans.values() for key, path in plan.sources.items()},
        masks={key: mask for plan in plans.values() for key, mask in plan.masks.items()},
        partitions={key: cut for plan in plans.values() for key, cut in plan.partitions.items()},
        combinations={key: mask for plan in plans.values() for key, mask in plan.combinations.items()},
        images={key: image for plan in plans.values() for key, image in plan.images.items()},
        mixes={key: mix for plan in plans.values() for key, mix in plan.mixes.items()},
        targets={key: target for plan in plans.values() for key, target in plan.targets.items()},
        weights={name: source for plan in plans.values() for name, source in plan.weights.items()},
    )
