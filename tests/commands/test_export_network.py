from __future__ import annotations

import pytest
from running import Impasto
from transformation_networks import save_narrow

from pipeline.feedforward.models import load_network


@pytest.fixture
def studio(impasto: Impasto) -> Impasto:
    """A network, and something that is no record."""
    save_narrow(impasto.folder / "net.safetensors")
    (impasto.folder / "notes.json").write_text("{}", encoding="utf-8")
    return impasto


def test_another_licence_leaves_the_weights_as_they_are(studio: Impasto) -> None:
    words = ["--licence", "CC BY-SA 4.0", "--output", "out.safetensors"]
    done = studio.works("export-network", "net.safetensors", *words)
    assert done.said == ["out.safetensors: top, bottom, licence: CC BY-SA 4.0"]
    before, after = (load_network(studio.folder / f"{name}.safetensors") for name in ("net", "out"))
    assert after.card == before.card.model_copy(update={"licence": "CC BY-SA 4.0"})
    assert before.card.licence == "CC0-1.0"
    weights = after.network.state_dict()
    assert all(weights[name].equal(value) for name, value in before.network.state_dict().items())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone"], "gone: expected a network made by `impasto train`; found none."),
        (["net.safetensors", "--report", "net.html"], "--report: expected --record beside it, and neither "),
        (
            ["net.safetensors", "--report", "net.html", "--record", "notes.json"],
            "notes.json: expected a record made by `impasto train`; found something else.",
        ),
        (
            ["net.safetensors", "--output", "net.safetensors"],
            "--output: expected another file than those that are read; found net.safetensors.",
        ),
    ],
)
def test_what_cannot_be_is_told_in_one_line(studio: Impasto, words: list[object], said: str) -> None:
    file, *more = words
    assert said in studio.refuses("export-network", file, "--output", "out.safetensors", *more)
