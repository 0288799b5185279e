"""Which file of a collection needs which, and what each job is told: what the workflow's rules ask.

Torch-free; a function of the plans. The rules hold no logic of their own.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

from pipeline import viewer
from pipeline.collection import Collection
from pipeline.config.reading import for_artwork
from pipeline.config.sections import Network
from pipeline.geometry import Size
from pipeline.level_plans import PaintingPlan, WeightedTarget
from pipeline.mask_files import MaskFiles
from pipeline.network_files import NetworkFiles, painting_options
from pipeline.quality.task import LevelTask, RegionTask, StyleTask, Task


@final
@dataclass(frozen=True)
class JobFiles:
    """Paths, inputs and options of a collection's jobs.

    Attributes:
        collection: Its artworks' plans.
    """

    collection: Collection

    # -- paths of what artworks share ------------------------------------------------------------

    def prepared_file(self, key: str) -> str:
        """The prepared image of this key, or the part of one."""
        folder = "cropped" if key in self.collection.crops else "prepared"
        return f"{self.collection.results}/shared/{folder}/{key}.tif"

    def crop_record(self, key: str) -> str:
        """What was recorded of the part of a prepared image: where it lies."""
        return f"{self.collection.results}/shared/cropped/{key}.json"

    def image_file(self, key: str) -> str:
        """The image of this key at its level's size and colours, or the mixture."""
        folder = "mixed" if key in self.collection.mixes else "images"
        return f"{self.collection.results}/shared/{folder}/{key}.tif"

    @cached_property
    def mask_files(self) -> MaskFiles:
        """Where masks lie."""
        folder = f"{self.collection.results}/shared/masks"
        return MaskFiles(
            folder,
            self.collection.masks,
            self.collection.partitions,
            self.collection.combinations,
            self.collection.mask_crops,
        )

    def target_file(self, key: str) -> str:
        """The style statistics of this key."""
        return f"{self.collection.results}/shared/targets/{key}.safetensors"

    def weights_file(self, name: str) -> str:
        """The model file of this name."""
        return f"{self.collection.resources}/weights/{name}.safetensors"

    # -- an artwork's levels ---------------------------------------------------------------------

    def level_dir(self, artwork: str, level: str | int) -> str:
        """The folder of a level's files."""
        return f"{self.collection.results}/{artwork}/levels/{level}"

    def result_file(self, artwork: str, level: str | int) -> str:
        """The rendered image of a level: stylised at the lowest, refined above it; or painted."""
        if self.collection.plans[artwork].is_painted:
            return self.painted_file(artwork)
        lowest = self.collection.plans[artwork].levels[0].level_px
        name = "stylised" if int(level) == lowest else "refined"
        return f"{self.level_dir(artwork, level)}/{name}.tif"

    def painted_file(self, artwork: str) -> str:
        """What a trained network paints for an artwork: the result, or what the lowest level starts from."""
        return f"{self.level_dir(artwork, self._painting(artwork).level_px)}/painted.tif"

    def starts(self, artwork: str) -> list[str]:
        """What the lowest level starts from: a list of one file, or of none where no network paints it."""
        plan = self.collection.plans[artwork]
        return [] if plan.painting is None or plan.is_painted else [self.painted_file(artwork)]

    def start_records(self, artwork: str) -> list[str]:
        """What was recorded of that: a list of one file, or of none."""
        return [file.removesuffix(".tif") + ".json" for file in self.starts(artwork)]

    def result_below(self, artwork: str, level: str | int) -> str:
        """The rendered image of the level below; asking below the lowest is a KeyError."""
        names = [plan.level_px for plan in self.collection.plans[artwork].levels]
        index = names.index(int(level))
        if index == 0:
            raise KeyError(f"{artwork} has no level below {level}")
        return self.result_file(artwork, names[index - 1])

    def upsample_contents(self, artwork: str, level: str | int) -> list[str]:
        """The content at the level below and at this one, if the start of this one has its detail."""
        plan = self.collection.plans[artwork]
        if plan.settings.detail == "none":
            return []
        index = [each.level_px for each in plan.levels].index(int(level))
        return [self.image_file(each.content) for each in plan.levels[index - 1 : index + 1]]

    def upsample_options(self, artwork: str, level: str | int, contents: Sequence[str]) -> str:
        """`impasto upsample`'s options for a level."""
        options = ["--size", str(self.collection.level(artwork, level).size)]
        return shlex.join([*options, *(["--contents", *contents] if contents else [])])

    def top_result(self, artwork: str) -> str:
        """The rendered image of the highest level."""
        return self.result_file(artwork, self.collection.plans[artwork].levels[-1].level_px)

    def level_results(self, artwork: str) -> list[str]:
        """Each level's rendered image, lowest first."""
        return [self.result_file(artwork, level.level_px) for level in self.collection.plans[artwork].levels]

    def level_records(self, artwork: str) -> list[str]:
        """What was recorded of each level, lowest first."""
        return [file.removesuffix(".tif") + ".json" for file in self.level_results(artwork)]

    def mask_records(self, artwork: str) -> list[str]:
        """What was recorded of the automatic masks that an artwork uses."""
        return [
            f"{self.collection.results}/shared/masks/{key}.json"
            for key in self.collection.plans[artwork].masks
        ]

    def partition_records(self, artwork: str) -> list[str]:
        """What was recorded of the images in parts that an artwork uses."""
        return [
            f"{self.mask_files.partition_folder(key)}.json"
            for key in self.collection.plans[artwork].partitions
        ]

    def mixture_records(self, artwork: str) -> list[str]:
        """What was recorded of the mixtures that an artwork uses."""
        return [
            f"{self.collection.results}/shared/mixed/{key}.json"
            for key in self.collection.plans[artwork].mixes
        ]

    def top_styles(self, artwork: str) -> list[str]:
        """The style images as the highest level used them, and what mixtures were made from, once each."""
        plan = self.collection.plans[artwork]
        if plan.is_painted:
            return [self.prepared_file(key) for key in dict.fromkeys(self._painting(artwork).styles)]
        used = [self.collection.targets[key].image for key in plan.levels[-1].targets]
        sources = [source for key in used if key in plan.mixes for source in plan.mixed_from(key)]
        return [self.image_file(image) for image in dict.fromkeys(used + sources)]

    def artwork_weights(self, artwork: str) -> list[str]:
        """The model files that an artwork needs."""
        return [self.weights_file(name) for name in self.collection.plans[artwork].weights]

    def channel_means(self, artwork: str) -> list[str]:
        """The user's channel means of an artwork's network: a list of one file, or of none."""
        return list(self._means(self.collection.plans[artwork].settings.network).values())

    def artwork_sources(self, artwork: str) -> list[str]:
        """The images and masks that an artwork is made from, as the user wrote them."""
        return [path.as_posix() for path in self.collection.plans[artwork].inputs]

    def prints(self, artwork: str) -> list[str]:
        """The print files of an artwork, one for each format."""
        forms = self.collection.plans[artwork].settings.print.forms
        return [f"{self.collection.results}/{artwork}/print.{form.extension}" for form in forms]

    def delivered(self) -> list[str]:
        """What is copied to where finished artworks are delivered, as it is called below the results."""
        found = []
        for artwork in self.collection.artworks(on_demand=False):
            prints = [Path(file).name for file in self.prints(artwork)]
            found += [f"{artwork}/{name}" for name in (*prints, "preview.png", "provenance.json")]
        return [*found, "report.html"]

    def panels(self, artwork: str) -> list[str]:
        """The folder of an artwork's panels: a list of one, or of none where its print is whole."""
        in_panels = self.collection.plans[artwork].settings.print.panels is not None
        return [f"{self.collection.results}/{artwork}/panels"] if in_panels else []

    def deepzooms(self, artwork: str) -> list[str]:
        """The folder of an artwork's deep-zoom image: a list of one, or of none."""
        wanted = self.collection.plans[artwork].settings.deepzoom.format != "none"
        return [f"{self.collection.results}/{artwork}/deepzoom"] if wanted else []

    def deepzoom_options(self, artwork: str) -> str:
        """`impasto export-deepzoom`'s options for this artwork."""
        settings = self.collection.plans[artwork].settings.deepzoom
        words = ["--format", settings.format, "--tile-px", str(settings.tile_px)]
        words += ["--quality", str(settings.quality)]
        if settings.format == "iiif" and settings.url is not None:
            words += ["--url", f"{settings.url.rstrip('/')}/{artwork}/deepzoom"]
        return shlex.join(words)

    def recorded(self, artwork: str) -> dict[str, str | list[str]]:
        """The files that the record of an artwork's making is made from."""
        return {
            "plan": f"{self.collection.results}/{artwork}/plan.json",
            "records": self.level_records(artwork),
            "masks": self.mask_records(artwork),
            "partitions": self.partition_records(artwork),
            "mixtures": self.mixture_records(artwork),
            "painting": self.start_records(artwork),
            "weights": self.artwork_weights(artwork),
            "sources": self.artwork_sources(artwork),
        }

    def assess_inputs(self, artwork: str) -> dict[str, str | list[str]]:
        """The files that an artwork's figures are had from."""
        plan = self.collection.plans[artwork]
        targets = [self.collection.targets[key] for level in plan.levels for key in level.targets]
        return {
            "image": f"{self.collection.results}/{artwork}/assembled.tif",
            "weights": self.weights_file(plan.settings.network.name),
            "content": self.prepared_file(plan.content),
            "results": self.level_results(artwork),
            "records": self.level_records(artwork),
            "contents": [self.image_file(level.content) for level in plan.levels],
            "styles": list(dict.fromkeys(self.image_file(target.image) for target in targets)),
            "guides": [file for level in plan.levels for file in self.guides(artwork, level.level_px)],
            "masks": self.mask_files.inputs(target.mask for target in targets if target.mask is not None),
        }

    def assess_task(self, artwork: str) -> str:
        """What `impasto assess --task` reads for this artwork, as one line of JSON."""
        plan = self.collection.plans[artwork]
        levels = tuple(
            LevelTask(
                level_px=level.level_px,
                content=Path(self.image_file(level.content)),
                result=Path(result),
                record=Path(record),
                guides=next(iter(map(Path, self.guides(artwork, level.level_px))), None),
                regions=tuple(
                    RegionTask(label=region.label, styles=tuple(map(self._style_task, region.targets)))
                    for region in level.regions
                ),
            )
            for level, result, record in zip(
                plan.levels, self.level_results(artwork), self.level_records(artwork), strict=True
            )
        )
        content = Path(self.prepared_file(plan.content))
        return Task(artwork=artwork, content=content, levels=levels).model_dump_json()

    def _style_task(self, weighted: WeightedTarget) -> StyleTask:
        target = self.collection.targets[weighted.target]
        mask = None if target.mask is None else self.mask_files.word(target.mask)
        return StyleTask(image=Path(self.image_file(target.image)), mask=mask, weight=weighted.weight)

    def proofs(self, artwork: str) -> list[str]:
        """The soft proof's record of an artwork with a profile: a list of one file, or of none."""
        found = self.collection.plans[artwork].settings.print.profile
        return [] if found is None else [f"{self.collection.results}/{artwork}/proof.json"]

    def profile(self, artwork: str) -> str:
        """The profile that an artwork is printed with; asking for one of sRGB is a KeyError."""
        found = self.collection.plans[artwork].settings.print.profile
        if found is None:
            raise KeyError(f"{artwork} has no print.profile")
        return found.as_posix()

    def assessed(self, artwork: str) -> list[str]:
        """An artwork's figures: a list of one file, or of none where a trained network paints it."""
        painted = self.collection.plans[artwork].is_painted
        return [] if painted else [f"{self.collection.results}/{artwork}/quality.json"]

    def judged(self, artwork: str) -> list[str]:
        """What says that an artwork is within its limits: a list of one file, or of none without limits."""
        if self.collection.plans[artwork].is_painted:
            return []
        limits = self.collection.plans[artwork].settings.quality.limits
        asked = limits.model_dump(exclude_none=True)
        return [f"{self.collection.results}/{artwork}/quality.passed"] if asked else []

    def guides(self, artwork: str, level: str | int) -> list[str]:
        """The level's guidance channels: a list of one file, or of none when one style covers everything."""
        plan = self.collection.plans[artwork]
        return [f"{self.level_dir(artwork, level)}/guides.tif"] if plan.settings.needs_guidance else []

    def guide_masks(self, artwork: str) -> list[str]:
        """The masks that an artwork's regions are made from, without repeats."""
        return self.mask_files.inputs(self.collection.plans[artwork].areas.values())

    def guide_options(self, artwork: str, level: str | int) -> str:
        """`impasto guide`'s options for this artwork's regions."""
        words: list[str] = []
        for name, area in self.collection.plans[artwork].areas.items():
            words += ["--region", f"{name}={self.mask_files.word(area)}"]
            if self.mask_files.may_be_empty(area):
                words += ["--may-be-empty", name]
        return shlex.join([*words, "--size", str(self.collection.level(artwork, level).size)])

    def level_targets(self, artwork: str, level: str | int) -> list[str]:
        """The style statistics that a level needs, without repeats."""
        return [self.target_file(key) for key in self.collection.level(artwork, level).targets]

    def level_plan(self, artwork: str, level: str | int) -> str:
        """The part of an artwork's plan that a level is rendered by, as one line of JSON."""
        return self.collection.plans[artwork].excerpt(int(level)).model_dump_json()

    # -- shared work -----------------------------------------------------------------------------

    def crop_options(self, key: str) -> str:
        """`impasto crop`'s options for this part of an image."""
        crop = self.collection.crops[key]
        focus = crop.focus if isinstance(crop.focus, str) else "{!r},{!r}".format(*crop.focus)
        return shlex.join(["--size", str(crop.size), "--focus", focus])

    def crop_mask_inputs(self, key: str) -> dict[str, str]:
        """The files that a part of a mask is made from."""
        crop = self.collection.mask_crops[key]
        return {"mask": crop.file.as_posix(), "crop": self.crop_record(crop.crop)}

    def recolour_inputs(self, key: str) -> dict[str, str | list[str]]:
        """The files that an image at a level is made from."""
        image = self.collection.images[key]
        references = [how.reference for how in image.recolourings if how.reference is not None]
        areas = [area for how in image.recolourings for area in how.areas]
        return {
            "image": self.prepared_file(image.prepared),
            "references": [self.prepared_file(reference) for reference in dict.fromkeys(references)],
            "masks": self.mask_files.inputs(areas),
        }

    def recolour_options(self, key: str) -> str:
        """`impasto recolour`'s options for this image, but for its maps."""
        image = self.collection.images[key]
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
            for how in self.collection.images[key].recolourings
        ]
        return json.dumps(maps)

    def assemble_masks(self, artwork: str) -> list[str]:
        """The masks of the areas where an artwork's chroma is the content's."""
        return self.mask_files.inputs(self.collection.plans[artwork].chroma or ())

    def assemble_options(self, artwork: str) -> str:
        """`impasto assemble`'s options for where an artwork's chroma is the content's."""
        areas = self.collection.plans[artwork].chroma
        if areas is None:
            return ""
        words = ["--colour", "luminance"]
        for area in areas:
            words += ["--luminance-mask", self.mask_files.word(area)]
        return shlex.join(words)

    def mix_inputs(self, key: str) -> dict[str, str]:
        """The files that a mixture is made from."""
        mix = self.collection.mixes[key]
        inputs = {
            "start": self.image_file(mix.start),
            "fine": self.image_file(mix.fine),
            "weights": self.weights_file(mix.network.name),
        }
        return inputs | self._means(mix.network)

    def mix_plan(self, key: str) -> str:
        """The part of a mixture's plan that its pixels depend on, as one line of JSON."""
        return self.collection.mixes[key].without_costs().model_dump_json()

    def _means(self, network: Network) -> dict[str, str]:
        """The user's channel means of a network, as an input where there are some."""
        return {} if network.channel_means is None else {"means": network.channel_means.as_posix()}

    def segment_inputs(self, key: str) -> dict[str, str | list[str]]:
        """The files that an automatic mask is made from."""
        mask = self.collection.masks[key]
        return {
            "image": self.prepared_file(mask.prepared),
            "weights": [self.weights_file(name) for name in mask.settings.weights],
        }

    def partition_inputs(self, key: str) -> dict[str, str]:
        """The files that an image's parts are made from."""
        cut = self.collection.partitions[key]
        return {"image": self.prepared_file(cut.prepared), "weights": self.weights_file(cut.weights)}

    def target_inputs(self, key: str) -> dict[str, str]:
        """The files that style statistics are made from."""
        target = self.collection.targets[key]
        inputs = {
            "image": self.image_file(target.image),
            "weights": self.weights_file(target.network.name),
        }
        if target.mask is not None:
            inputs["mask"] = self.mask_files.inputs([target.mask])[0]
        return inputs | self._means(target.network)

    def target_options(self, key: str) -> str:
        """`impasto targets`' options for these statistics."""
        target = self.collection.targets[key]
        words = ["--network", target.network.name, "--pooling", target.network.pooling]
        words += ["--layers", *target.network.style_layers, "--precision", target.precision]
        words += ["--device", self.collection.config.compute.device, "--threads", "1"]
        if target.mask is not None:
            words += ["--mask", self.mask_files.word(target.mask), "--propagation", target.propagation]
            words += ["--grow-units", str(target.grow_units)]
        if target.network.normalised:
            words.append("--normalised")
        if target.network.channel_means is not None:
            words += ["--channel-means", target.network.channel_means.as_posix()]
        return shlex.join(words)

    # -- transformation networks -------------------------------------------------------------------

    @cached_property
    def network_files(self) -> NetworkFiles:
        """Where transformation networks lie, and how they are made."""
        return NetworkFiles(f"{self.collection.results}/shared/networks", self.collection.networks)

    def train_inputs(self, key: str) -> dict[str, str | list[str]]:
        """The files and folders that a network is trained on."""
        settings = self.collection.networks[key].settings
        return {
            "photographs": [path.as_posix() for path in settings.photographs],
            "styles": [path.as_posix() for path in settings.styles.values()],
            "weights": self.weights_file(settings.network),
        }

    def apply_inputs(self, artwork: str) -> dict[str, str | list[str]]:
        """The files that a network paints an artwork's level from."""
        painting = self._painting(artwork)
        return {
            "image": self.image_file(painting.content),
            "network": self.network_files.file(painting.network),
            "guides": self.guides(artwork, painting.level_px) if painting.channels else [],
        }

    def apply_options(self, artwork: str) -> str:
        """`impasto apply`'s options for an artwork's level, but for its files."""
        return painting_options(self._painting(artwork))

    def _painting(self, artwork: str) -> PaintingPlan:
        found = self.collection.plans[artwork].painting
        if found is None:
            raise KeyError(f"no network paints {artwork}")
        return found

    def weights_inputs(self, name: str) -> list[str]:
        """The user's own model file of this name: a list of one file, or of none."""
        source = self.collection.weights[name]
        return [] if source is None or source.path is None else [source.path.as_posix()]

    def weights_options(self, name: str) -> str:
        """`impasto fetch-weights`' options for this model file."""
        source = self.collection.weights[name]
        if source is None:
            return ""
        given = {"--path": source.path, "--url": source.url, "--sha256": source.sha256}
        return shlex.join(
            word for option, value in given.items() if value is not None for word in (option, str(value))
        )

    @property
    def viewer(self) -> list[str]:
        """The script that shows full images in the report: a list of one file, or of none."""
        wanted = self.collection.config.report.viewer != "none"
        return [f"{self.collection.resources}/viewer/{viewer.FILE}"] if wanted else []

    @property
    def viewer_inputs(self) -> list[str]:
        """The user's own viewer: a list of one file, or of none."""
        own = self.collection.config.report.viewer
        return [own.as_posix()] if isinstance(own, Path) else []

    @property
    def viewer_options(self) -> str:
        """`impasto fetch-viewer`'s options."""
        return shlex.join(word for file in self.viewer_inputs for word in ("--path", file))

    @property
    def report_options(self) -> str:
        """`impasto report`'s options."""
        return shlex.join(word for file in self.viewer for word in ("--viewer", file))

    def plan_sizes(self, artwork: str) -> str:
        """What of the image headers an artwork's plan depends on, as one line; or why it cannot be made."""
        refused = self.collection.refused.get(artwork)
        if refused is not None:
            return refused
        return self.collection.plans[artwork].model_dump_json(include={"levels", "images"})

    def plan_settings(self, artwork: str) -> str:
        """The part of the configuration that an artwork depends on, as one line of JSON."""
        return json.dumps(for_artwork(self.collection.config, artwork), sort_keys=True)
