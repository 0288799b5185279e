"""Which file of an artwork needs which, and what each job is told: what the workflow's rules ask.

Torch-free; a function of the plans. The rules hold no logic of their own. Of what artworks share:
shared_files.py.

Past 400 lines, for it is one class: a rule asks it for inputs, command and settings under one name.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

from pipeline.collection import Collection
from pipeline.config.reading import for_artwork
from pipeline.level_plans import LevelPlan, PaintingPlan, WeightedTarget
from pipeline.network_files import painting_words
from pipeline.plan import Plan
from pipeline.quality.task import LevelTask, RegionTask, StyleTask, Task
from pipeline.shared_files import SharedFiles


@final
@dataclass(frozen=True)
class JobFiles:
    """Paths, inputs and options of a collection's jobs, by artwork; those by key are in `shared`.

    Attributes:
        collection: Its artworks' plans.
    """

    collection: Collection

    @cached_property
    def shared(self) -> SharedFiles:
        """The files of the jobs that artworks share."""
        return SharedFiles(self.collection)

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
        return [self.shared.image_file(each.content) for each in plan.levels[index - 1 : index + 1]]

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
            f"{self.shared.masks.partition_folder(key)}.json"
            for key in self.collection.plans[artwork].partitions
        ]

    def mixture_records(self, artwork: str) -> list[str]:
        """What was recorded of the mixtures that an artwork uses."""
        return [
            f"{self.collection.results}/shared/mixed/{key}.json"
            for key in self.collection.plans[artwork].mixes
        ]

    def crop_records(self, artwork: str) -> list[str]:
        """What was recorded of the part of the content that is shown: a list of one file, or of none."""
        plan = self.collection.plans[artwork]
        return [self.shared.crop_record(plan.content)] if plan.content in plan.crops else []

    def top_styles(self, artwork: str) -> list[str]:
        """The style images as the highest level used them, and what mixtures were made from, once each."""
        plan = self.collection.plans[artwork]
        if plan.is_painted:
            return [self.shared.prepared_file(key) for key in dict.fromkeys(self._painting(artwork).styles)]
        used = [self.collection.targets[key].image for key in plan.levels[-1].targets]
        sources = [source for key in used if key in plan.mixes for source in plan.mixed_from(key)]
        return [self.shared.image_file(image) for image in dict.fromkeys(used + sources)]

    def artwork_weights(self, artwork: str) -> list[str]:
        """The model files that an artwork needs."""
        return [self.shared.weights_file(name) for name in self.collection.plans[artwork].weights]

    def channel_means(self, artwork: str) -> list[str]:
        """The user's channel means of an artwork's network: a list of one file, or of none."""
        return list(self.shared.channel_means(self.collection.plans[artwork].settings.network).values())

    def artwork_sources(self, artwork: str) -> list[str]:
        """The images and masks that an artwork is made from, as the user wrote them."""
        return [path.as_posix() for path in self.collection.plans[artwork].inputs]

    def prints(self, artwork: str) -> list[str]:
        """The print files of an artwork, one for each format."""
        forms = self.collection.plans[artwork].settings.print.forms
        return [f"{self.collection.results}/{artwork}/print.{form.extension}" for form in forms]

    def finished(self, artwork: str) -> list[str]:
        """All that is asked for of an artwork, in a plain run or on demand: what has it is done."""
        folder = f"{self.collection.results}/{artwork}"
        made = [f"{folder}/{name}" for name in ("plan.json", "provenance.json", "preview.png")]
        made += [*self.prints(artwork), *self.panels(artwork), *self.deepzooms(artwork)]
        for key in self.collection.plans[artwork].networks:
            made += self.shared.networks.exported(key)
        return [*made, self.assessed(artwork), *self.judged(artwork), *self.proofs(artwork)]

    def asked(self, *, on_demand: bool) -> list[str]:
        """What a plain `snakemake` asks for, or `demo_feedforward` of the artworks that it leaves out.

        Of an artwork that cannot be made, the job that says why.
        """
        shown = self.collection.artworks(on_demand=on_demand)
        made = [file for name in shown for file in self.finished(name)]
        refused = self.collection.refusals(on_demand=on_demand)
        made += [f"{self.collection.results}/{name}/plan.json" for name in refused]
        return [*made, *([self.page(on_demand=on_demand)] if shown else [])]

    def page(self, *, on_demand: bool) -> str:
        """The report over those artworks; with none there is nothing to show."""
        return f"{self.collection.results}/{'on_demand' if on_demand else 'report'}.html"

    def delivered(self) -> list[str]:
        """What is copied to where finished artworks are delivered, as it is called below the results.

        Names without a dot are folders: panels, and what the report shows and consists of.
        """
        found = []
        for artwork in self.collection.artworks(on_demand=False):
            made = [*self.prints(artwork), self.assessed(artwork)]
            made += [*self.panels(artwork), *self.deepzooms(artwork)]
            names = [*(Path(file).name for file in made), "preview.png", "provenance.json", "pictures"]
            if self.proofs(artwork):
                names += ["proof.png", "gamut.png", "proof.json"]
            found += [f"{artwork}/{name}" for name in names]
        return [*found, "report.html", "report"] if found else []

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
            "crop": self.crop_records(artwork),
            "weights": self.artwork_weights(artwork),
            "sources": self.artwork_sources(artwork),
        }

    def assess_inputs(self, artwork: str) -> dict[str, str | list[str]]:
        """The files that an artwork's figures are had from."""
        plan = self.collection.plans[artwork]
        targets = [self.collection.targets[key] for level in plan.levels for key in level.targets]
        styles = [self.shared.image_file(target.image) for target in targets]
        return {
            "image": f"{self.collection.results}/{artwork}/assembled.tif",
            "weights": self.shared.weights_file(plan.judging_network),
            "content": self.shared.prepared_file(plan.content),
            "results": self.level_results(artwork),
            "records": self.level_records(artwork),
            "contents": [self.shared.image_file(level.content) for level in plan.levels],
            "styles": self.top_styles(artwork) if plan.is_painted else list(dict.fromkeys(styles)),
            "guides": [file for level in plan.levels for file in self.guides(artwork, level.level_px)],
            "masks": self.shared.masks.inputs(target.mask for target in targets if target.mask is not None),
        }

    def assess_task(self, artwork: str) -> str:
        """What `impasto assess --task` reads for this artwork, as one line of JSON."""
        plan = self.collection.plans[artwork]
        levels = tuple(
            LevelTask(
                level_px=level.level_px,
                content=Path(self.shared.image_file(level.content)),
                result=Path(result),
                record=Path(record),
                guides=next(iter(map(Path, self.guides(artwork, level.level_px))), None),
                regions=tuple(
                    RegionTask(label=region.label, styles=styles)
                    for region, styles in zip(level.regions, self._style_tasks(plan, level), strict=True)
                ),
                painted=plan.is_painted,
            )
            for level, result, record in zip(
                plan.levels, self.level_results(artwork), self.level_records(artwork), strict=True
            )
        )
        content = Path(self.shared.prepared_file(plan.content))
        return Task(artwork=artwork, content=content, levels=levels).model_dump_json()

    def _style_tasks(self, plan: Plan, level: LevelPlan) -> list[tuple[StyleTask, ...]]:
        """The styles of each region of a level; those of a network at the size that it learnt them at."""
        if not plan.is_painted:
            return [tuple(map(self._style_task, region.targets)) for region in level.regions]
        painting = self._painting(plan.artwork)
        area_px = self.collection.networks[painting.network].settings.style_px
        files = [Path(self.shared.prepared_file(key)) for key in painting.styles]
        return [(StyleTask(image=file, mask=None, weight=1, area_px=area_px),) for file in files]

    def _style_task(self, weighted: WeightedTarget) -> StyleTask:
        target = self.collection.targets[weighted.target]
        mask = None if target.mask is None else self.shared.masks.word(target.mask)
        return StyleTask(image=Path(self.shared.image_file(target.image)), mask=mask, weight=weighted.weight)

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

    def assessed(self, artwork: str) -> str:
        """An artwork's figures."""
        return f"{self.collection.results}/{artwork}/quality.json"

    def judged(self, artwork: str) -> list[str]:
        """What says that an artwork is within its limits: a list of one file, or of none without limits."""
        limits = self.collection.plans[artwork].settings.quality.limits
        asked = limits.model_dump(exclude_none=True)
        return [f"{self.collection.results}/{artwork}/quality.passed"] if asked else []

    def guides(self, artwork: str, level: str | int) -> list[str]:
        """The level's guidance channels: a list of one file, or of none when one style covers everything."""
        plan = self.collection.plans[artwork]
        return [f"{self.level_dir(artwork, level)}/guides.tif"] if plan.settings.needs_guidance else []

    def guide_masks(self, artwork: str) -> list[str]:
        """The masks that an artwork's regions are made from, without repeats."""
        return self.shared.masks.inputs(self.collection.plans[artwork].areas.values())

    def guide_options(self, artwork: str, level: str | int) -> str:
        """`impasto guide`'s options for this artwork's regions."""
        words: list[str] = []
        for name, area in self.collection.plans[artwork].areas.items():
            words += ["--region", f"{name}={self.shared.masks.word(area)}"]
            if self.shared.masks.may_be_empty(area):
                words += ["--may-be-empty", name]
        return shlex.join([*words, "--size", str(self.collection.level(artwork, level).size)])

    def level_targets(self, artwork: str, level: str | int) -> list[str]:
        """The style statistics that a level needs, without repeats."""
        return [self.shared.target_file(key) for key in self.collection.level(artwork, level).targets]

    def level_plan(self, artwork: str, level: str | int) -> str:
        """The part of an artwork's plan that a level is rendered by, as one line of JSON."""
        made = self._level_plans
        # Asked for several times of each job.
        if (artwork, int(level)) not in made:
            made[artwork, int(level)] = self.collection.plans[artwork].excerpt(int(level)).model_dump_json()
        return made[artwork, int(level)]

    @cached_property
    def _level_plans(self) -> dict[tuple[str, int], str]:
        return {}

    def assemble_masks(self, artwork: str) -> list[str]:
        """The masks of the areas where an artwork's chroma is the content's."""
        return self.shared.masks.inputs(self.collection.plans[artwork].chroma or ())

    def assemble_options(self, artwork: str) -> str:
        """`impasto assemble`'s options for where an artwork's chroma is the content's."""
        areas = self.collection.plans[artwork].chroma
        if areas is None:
            return ""
        words = ["--colour", "luminance"]
        for area in areas:
            words += ["--luminance-mask", self.shared.masks.word(area)]
        return shlex.join(words)

    def apply_inputs(self, artwork: str) -> dict[str, str | list[str]]:
        """The files that a network paints an artwork's level from."""
        painting = self._painting(artwork)
        return {
            "image": self.shared.image_file(painting.content),
            "network": self.shared.networks.file(painting.network),
            "guides": self.guides(artwork, painting.level_px) if painting.channels else [],
            "styles": list(self._claimed_styles(painting).values()),
            "masks": self.shared.masks.inputs(painting.luma or ()),
        }

    def apply_options(self, artwork: str) -> str:
        """`impasto apply`'s options for an artwork's level, but for its files."""
        painting = self._painting(artwork)
        words = [f"{name}={image}" for name, image in self._claimed_styles(painting).items()]
        options = [word for each in words for word in ("--style", each)]
        if painting.luma is not None:
            options += ["--colour", "luma"]
        for area in painting.luma or ():
            options += ["--luminance-mask", self.shared.masks.word(area)]
        return shlex.join([*painting_words(painting), *options])

    def _claimed_styles(self, painting: PaintingPlan) -> dict[str, str]:
        """What the configuration says that a network in a file has learnt; one that is trained here has."""
        settings = self.collection.networks[painting.network].settings
        if settings.file is None:
            return {}
        return {name: image.as_posix() for name, image in settings.styles.items()}

    def _painting(self, artwork: str) -> PaintingPlan:
        found = self.collection.plans[artwork].painting
        if found is None:
            raise KeyError(f"no network paints {artwork}")
        return found

    @property
    def report_options(self) -> str:
        """`impasto report`'s options."""
        return shlex.join(word for file in self.shared.viewer for word in ("--viewer", file))

    def plan_sizes(self, artwork: str) -> str:
        """What of the image headers an artwork's plan depends on, as one line; or why it cannot be made."""
        refused = self.collection.refused.get(artwork)
        if refused is not None:
            return refused
        return self.collection.plans[artwork].model_dump_json(include={"levels", "images"})

    def plan_settings(self, artwork: str) -> str:
        """The part of the configuration that an artwork depends on, as one line of JSON.

        Of one that can be made neither the disk that it fits on, nor the model files that others need.
        """
        settings, plan = for_artwork(self.collection.config, artwork), self.collection.plans.get(artwork)
        if plan is not None:
            used = {*plan.weights, *plan.loss_networks}
            settings["weights"] = {name: file for name, file in settings["weights"].items() if name in used}
            settings["compute"]["disk_budget_gib"] = None
        return json.dumps(settings, sort_keys=True)
