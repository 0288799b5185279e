"""The collection as the workflow sees it: every artwork's plan, and what artworks share.

Torch-free; a function of the configuration and the image headers. Which file needs which:
job_files.py and shared_files.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

from pipeline.config.collections import placed
from pipeline.config.models import Config, WeightsSource
from pipeline.config.reading import Parsed, parse_whole, read_yaml
from pipeline.errors import ConfigError, InputError, PipelineError, UnfitError
from pipeline.geometry import Size
from pipeline.headers import HeaderCache
from pipeline.inspection import SeenFiles, weights_sources
from pipeline.level_plans import LevelPlan, MixPlan
from pipeline.plan import Plan
from pipeline.planning import resolve
from pipeline.shared_plans import (
    CombinationPlan,
    CropPlan,
    ImagePlan,
    MaskCropPlan,
    MaskPlan,
    NetworkPlan,
    PartitionPlan,
    TargetPlan,
)


@final
@dataclass(frozen=True)
class Collection:
    """All artworks of a configuration, resolved; what they share is listed once.

    Attributes:
        config: The configuration.
        plans: The plan of each artwork that can be made, by name.
        refused: Why each of the others cannot: the line for its user, by name.
        sizes: Of the users' images and of their crops, by key.
        warnings: What the configuration's writer should know, a line each.
    """

    config: Config
    plans: Mapping[str, Plan]
    refused: Mapping[str, str]
    sources: Mapping[str, Path]
    sizes: Mapping[str, Size]
    crops: Mapping[str, CropPlan]
    mask_crops: Mapping[str, MaskCropPlan]
    masks: Mapping[str, MaskPlan]
    partitions: Mapping[str, PartitionPlan]
    combinations: Mapping[str, CombinationPlan]
    images: Mapping[str, ImagePlan]
    mixes: Mapping[str, MixPlan]
    targets: Mapping[str, TargetPlan]
    networks: Mapping[str, NetworkPlan]
    weights: Mapping[str, WeightsSource | None]
    warnings: tuple[str, ...]

    @property
    def results(self) -> str:
        """The folder of the results, as written in the configuration."""
        return self.config.results_dir.as_posix()

    @property
    def resources(self) -> str:
        """The folder of weights and demo inputs, as written in the configuration."""
        return self.config.resources_dir.as_posix()

    def artworks(self, *, on_demand: bool) -> list[str]:
        """The artworks that a plain `snakemake` makes, or those that it leaves out."""
        return [name for name, plan in self.plans.items() if plan.settings.on_demand == on_demand]

    def refusals(self, *, on_demand: bool) -> dict[str, str]:
        """Those of the refused artworks that a plain `snakemake` asks for, or those that it leaves out."""
        artworks = self.config.artworks
        return {name: why for name, why in self.refused.items() if artworks[name].on_demand == on_demand}

    def level(self, artwork: str, level: str | int) -> LevelPlan:
        """A level of an artwork."""
        return self.plans[artwork].level(int(level))


@final
class _Plans(dict[str, Plan]):
    """Plans by name; who asks for an artwork that has none is told why."""

    def __init__(self, plans: Mapping[str, Plan], refused: Mapping[str, InputError]) -> None:
        super().__init__(plans)
        self.refused: dict[str, InputError] = {**refused}

    def __missing__(self, name: str) -> Plan:
        found = self.refused.get(name)
        if found is not None:
            raise found
        raise InputError(f"artwork {name}", expected="a name in the collection", found="none like it")


def resolve_collection(raw: Any, size_of: Callable[[Path], Size], where: str = "config.yaml") -> Collection:
    """The collection that `raw` (parsed YAML or JSON) describes.

    Raises:
        PipelineError: Anything in the configuration is wrong, or with the images of every artwork.
    """
    return _resolved(parse_whole(raw, where), size_of, where)


def open_collection(
    raw: Any, config_files: Iterable[str | Path], header_cache: Path, *, to_write: bool = True
) -> Collection:
    """The collection of a workflow.

    Args:
        raw: What the workflow made of its configuration files and command line.
        config_files: Those files, to be named in errors.
        header_cache: Where image sizes are remembered between runs.
        to_write: Whether results must be a folder that can be written to.

    Raises:
        PipelineError: Anything in the configuration is wrong, or with the images of every artwork.
    """
    files = [_from_here(Path(file)) for file in config_files]
    for file in files:
        # The workflow has read them already, but says nothing of a key that stands twice.
        read_yaml(file)
    where = ", ".join(str(file) for file in files) or "the configuration"
    parsed = parse_whole(raw, where)
    config = parsed.config
    results = _check_folder(config.results_dir, f"{where}: results_dir")
    if to_write:
        _check_writable(results, f"{where}: results_dir")
    _check_folder(config.resources_dir, f"{where}: resources_dir")
    headers = HeaderCache(header_cache, config.resources_dir / "demo")
    collection = _resolved(parsed, headers.size_of, where)
    headers.save()
    return collection


def _check_folder(folder: Path, where: str) -> Path:
    """The nearest folder that is there; refuses a file in a folder's place, before the first job meets it."""
    try:
        nearest = next(place for place in (folder, *folder.parents) if place.exists())
        if nearest.is_dir():
            return nearest
        found = f"a file at {nearest}"
    except OSError as error:
        found = f"{folder}: {(error.strerror or str(error)).lower()}"
    raise ConfigError(where, expected="a folder, there already or not", found=found)


def _check_writable(folder: Path, where: str) -> None:
    """Refuses a folder that nothing can be written to."""
    try:
        # Permissions alone do not tell: a file system may be read-only, or root's rights end at it.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        found = f"{folder}: {(error.strerror or str(error)).lower()}"
        raise ConfigError(where, expected="a folder that can be written to", found=found) from None


def _from_here(path: Path) -> Path:
    """The path as a user in the working directory would write it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _resolved(parsed: Parsed, size_of: Callable[[Path], Size], where: str) -> Collection:
    """The collection, without the artworks whose files are missing, or unfit for what is asked of them.

    Raises:
        ConfigError: The configuration says something that cannot be, whatever the images.
        InputError, UnfitError: The files of every artwork are missing or unfit: the first one's mistake.
    """
    config, places = parsed.config, parsed.places
    plans: dict[str, Plan] = {}
    refused: dict[str, InputError] = {}
    mistakes: list[PipelineError] = []
    losses: dict[str, WeightsSource | None] = {}
    seen = SeenFiles(size_of)
    for name in config.artworks:
        try:
            plan = resolve(config, name, seen, where)
            is_file = partial(seen.once, Path.is_file)
            losses |= weights_sources(config, name, plan.loss_networks, where, is_file)
            plans[name] = plan
        except (InputError, UnfitError) as error:
            mistakes.append(type(error).stating(placed(str(error), name, places, where)))
            refused[name] = InputError.stating(str(mistakes[-1]))
        except ConfigError as error:
            raise ConfigError.stating(placed(str(error), name, places, where)) from None
    if not plans:
        raise mistakes[0]
    sizes = {key: seen(path) for plan in plans.values() for key, path in plan.sources.items()}
    return gathered(config, plans, refused, sizes, losses, warnings=parsed.warnings)


def gathered(
    config: Config,
    plans: Mapping[str, Plan],
    refused: Mapping[str, InputError],
    sizes: Mapping[str, Size],
    weights: Mapping[str, WeightsSource | None],
    *,
    warnings: tuple[str, ...] = (),
) -> Collection:
    """The collection of artworks that are planned already.

    Args:
        config: The configuration; it may have more artworks.
        plans: By name.
        refused: Why other artworks have none, by name.
        sizes: Of the users' images, by key.
        weights: Model files that no plan has, and where the user has them from.
        warnings: What the configuration's writer should know.
    """
    known = _Plans(plans, refused)
    return Collection(
        config=config,
        plans=known,
        refused={name: str(error) for name, error in refused.items()},
        sources={key: path for plan in known.values() for key, path in plan.sources.items()},
        sizes={**sizes} | {key: crop.size for plan in known.values() for key, crop in plan.crops.items()},
        crops={key: crop for plan in known.values() for key, crop in plan.crops.items()},
        mask_crops={key: crop for plan in known.values() for key, crop in plan.mask_crops.items()},
        masks={key: mask for plan in known.values() for key, mask in plan.masks.items()},
        partitions={key: cut for plan in known.values() for key, cut in plan.partitions.items()},
        combinations={key: mask for plan in known.values() for key, mask in plan.combinations.items()},
        images={key: image for plan in known.values() for key, image in plan.images.items()},
        mixes={key: mix for plan in known.values() for key, mix in plan.mixes.items()},
        targets={key: target for plan in known.values() for key, target in plan.targets.items()},
        networks={key: network for plan in known.values() for key, network in plan.networks.items()},
        weights={name: source for plan in known.values() for name, source in plan.weights.items()}
        | {**weights},
        warnings=warnings,
    )
