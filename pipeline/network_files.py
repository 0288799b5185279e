"""Where transformation networks lie, and what the commands that make and use them are told."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from pipeline.config.networks import TrainingOptions
from pipeline.level_plans import PaintingPlan
from pipeline.shared_plans import NetworkPlan


@final
@dataclass(frozen=True, slots=True)
class NetworkFiles:
    """The transformation networks of a collection.

    Attributes:
        folder: What artworks share; those lie in it that are trained.
        networks: Their plans by key.
    """

    folder: str
    networks: Mapping[str, NetworkPlan]

    def file(self, key: str) -> str:
        """The network of this key: a file of the user's, or what is trained."""
        file = self.networks[key].settings.file
        return f"{self.folder}/trained/{key}.safetensors" if file is None else file.as_posix()

    def exported(self, key: str) -> list[str]:
        """What is handed on of this network where it is trained: a list of one file, or of none."""
        is_trained = self.networks[key].settings.file is None
        return [f"{self.folder}/networks/{key}.safetensors"] if is_trained else []

    def train_options(self, key: str) -> str:
        """`impasto train`'s options for this network, but for its photographs, weights and outputs."""
        plan = self.networks[key]
        settings, compute = plan.settings, plan.compute
        words = [word for name, image in settings.styles.items() for word in ("--style", f"{name}={image}")]
        # Without its licence: another one is not worth another training.
        words += ["--network", settings.network]
        for name in TrainingOptions.model_fields:
            option = "--training-mask" if name == "mask" else f"--{name.replace('_', '-')}"
            words += [option, str(getattr(settings, name))]
        words += ["--device", compute.device, "--precision", compute.precision]
        # On a GPU the threads have nothing to do but to decode; how many there are changes no bit.
        threads = str(compute.threads)
        return shlex.join([*words, "--threads", threads, "--workers", threads])


def painting_words(painting: PaintingPlan) -> list[str]:
    """`impasto apply`'s options for a painting, but for its files."""
    compute = painting.compute
    words = ["--prepared", "--moments", painting.moments, "--memory-budget-mib", str(painting.budget_mib)]
    words += ["--device", compute.device, "--precision", compute.precision]
    words += ["--threads", str(compute.threads)]
    return [*words, *(["--channels", *painting.channels] if painting.channels else [])]
