"""The jobs of an artwork by the names of their logs and benchmarks: its own, and those that it shares.

A function of the plan: what an earlier plan's jobs left lies beside it, and is no part of this one. The
names of the rules stand here once more; a test holds the lists to the rules.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

from pipeline import demo
from pipeline.plan import Plan

SHARED_RULES = (
    *("fetch_weights", "make_demo", "prepare", "crop", "crop_mask", "segment", "partition", "combine"),
    *("recolour", "mix", "targets", "train", "export_network"),
)
"""Rules whose jobs several artworks may share: each has a folder of logs."""


@final
@dataclass(frozen=True, slots=True)
class SharedJob:
    """A job whose result several artworks may need.

    Attributes:
        rule: Its rule.
        key: What tells it from the rule's other jobs: its log is `logs/{rule}/{key}.log`.
    """

    rule: str
    key: str


def own_jobs(plan: Plan) -> tuple[str, ...]:
    """The jobs that are this artwork's alone, as their logs are called: `logs/{artwork}/{name}.log`."""
    settings = plan.settings
    return (
        "plan",
        *(f"{rule}-{level}" for rule, level in _level_jobs(plan)),
        "assemble",
        *(f"export_print-{form.extension}" for form in settings.print.forms),
        *(["export_panels"] if settings.print.panels is not None else []),
        *(["export_deepzoom"] if settings.deepzoom.format != "none" else []),
        "record",
        *(["proof"] if settings.print.profile is not None else []),
        "assess",
        *(["judge"] if settings.quality.limits.model_dump(exclude_none=True) else []),
        "preview",
    )


def _level_jobs(plan: Plan) -> Iterator[tuple[str, int]]:
    if plan.painting is not None:
        yield "apply", plan.painting.level_px
    for number, level in enumerate(plan.levels):
        if plan.settings.needs_guidance:
            yield "guide", level.level_px
        if not plan.is_painted:
            rules = ("upsample", "refine") if number else ("stylise",)
            yield from ((rule, level.level_px) for rule in rules)


def shared_jobs(plan: Plan) -> tuple[SharedJob, ...]:
    """The jobs whose results this artwork needs and others may need too, each once."""
    trained = [key for key, network in plan.networks.items() if network.settings.file is None]
    files: dict[str, Iterable[str]] = {
        "fetch_weights": (*plan.weights, *plan.loss_networks),
        "make_demo": (path.name for path in images(plan) if demo.is_input(path)),
        "prepare": plan.sources,
        "crop": plan.crops,
        "crop_mask": plan.mask_crops,
        "segment": plan.masks,
        "partition": plan.partitions,
        "combine": plan.combinations,
        "recolour": plan.images,
        "mix": plan.mixes,
        "targets": plan.targets,
        "train": trained,
        "export_network": trained,
    }
    return tuple(SharedJob(rule, key) for rule in SHARED_RULES for key in dict.fromkeys(files[rule]))


def images(plan: Plan) -> tuple[Path, ...]:
    """Every picture of the user's that an artwork depends on, those included that its networks learn from."""
    learnt = ((*each.settings.styles.values(), *each.settings.photographs) for each in plan.networks.values())
    return tuple(dict.fromkeys(itertools.chain(plan.inputs, *learnt)))
