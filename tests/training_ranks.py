"""A small training by several processes: `training_ranks.py FOLDER`, as torchrun starts it; alone by one.

With `failing` behind the folder the leader cannot show a validation; what each met is written in its place.

Each process writes the bits of its network as a hash, and its losses, as JSON: `FOLDER/rank-N.json`. The
leader writes the weights as well.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from pathlib import Path

import torch
from networks import SMALL, OxfordFormat, make_image, make_random_weights

from pipeline.distributed import joined
from pipeline.errors import PipelineError, ResourceError
from pipeline.features import Encoder
from pipeline.feedforward.training import Training, Validation, train
from pipeline.feedforward.training_settings import TrainingSettings
from pipeline.machine import Machine

SIDE = 32


def main() -> None:
    """Runs it."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    settings = TrainingSettings(
        size_px=SIDE, style_px=SIDE, batch=2, iterations=3, validate_every=3, mask="varied"
    )
    encoder = Encoder(make_random_weights(SMALL, 0, torch.float32), SMALL, OxfordFormat())
    styles = {name: make_image(40, 36, seed, dtype=torch.float32) for seed, name in enumerate("ab")}
    saved: list[int] = []
    with joined() as group:
        machine = Machine(torch.device("cpu"), torch.float32, 1)
        training = Training.new(settings, encoder, styles, machine, group)
        share = settings.batch // group.count
        firsts = (settings.batch * index + group.rank * share for index in itertools.count())
        batches = (
            torch.stack([make_image(SIDE, SIDE, n, dtype=torch.float32) for n in range(first, first + share)])
            for first in firsts
        )

        def show(_: Validation) -> None:
            if "failing" in sys.argv and group.leads:
                raise ResourceError("disk", expected="room", found="none")

        try:
            ending: str = train(
                training,
                batches,
                make_image(SIDE, SIDE, 99, dtype=torch.float32)[None],
                save=lambda: saved.append(training.iteration),
                # One is due; who saves asks the others what they know.
                save_every_s=0 if group.leads else 1e9,
                on_step=lambda *_: None,
                on_validation=show,
                should_stop=lambda: False,
            )
        except PipelineError as error:
            # All of them have come here, and still take the same steps.
            ending = f"{error} {group.gathered(group.rank)}"
    weights = torch.cat([each.detach().flatten() for each in training.network.parameters()])
    found = {
        "ending": ending,
        "saved": saved,
        "bits": hashlib.sha256(weights.numpy().tobytes()).hexdigest(),
        "losses": [point.loss for point in training.trace],
    }
    (folder / f"rank-{group.rank}.json").write_text(json.dumps(found), encoding="utf-8")
    if group.leads:
        # A bias that a norm follows has no gradient but rounding, of which Adam makes whole steps.
        normalised = {f"convolutions.{name}.bias" for name in training.network.normalisations}
        felt = [each for name, each in training.network.named_parameters() if name not in normalised]
        torch.save(torch.cat([each.detach().flatten() for each in felt]), folder / "weights.pt")


if __name__ == "__main__":
    main()
