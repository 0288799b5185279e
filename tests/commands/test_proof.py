from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from running import Impasto
from tiny_artwork import Artwork

from pipeline import canvas

OUTPUTS = ["--output", "proof.png", "--gamut", "gamut.png", "--record", "proof.json"]


@pytest.fixture
def words(impasto: Impasto, artwork: Artwork) -> list[Any]:
    """An image whose left half no press can print, and the words that proof it."""
    profile = impasto.folder / "press.icc"
    profile.write_bytes(bytes(pyvips.Operation.call("profile_load", "cmyk")))
    printed = artwork.plan.settings.print.model_copy(update={"profile": Path("press.icc")})
    settings = artwork.plan.settings.model_copy(update={"print": printed})
    plan = artwork.plan.model_copy(update={"settings": settings})
    (impasto.folder / "plan.json").write_text(plan.model_dump_json())
    pixels = np.full((60, 80, 3), (0.55, 0.5, 0.45), dtype=np.float32)
    pixels[:, :40] = (0, 0, 1)
    canvas.write(impasto.folder / "a.tif", pixels)
    return ["proof", "a.tif", "--plan", "plan.json", "--longer-side-px", 80, *OUTPUTS]


def test_what_cannot_be_printed_is_shown_and_counted(impasto: Impasto, words: list[Any]) -> None:
    imported, done = impasto.imports(*words)
    assert done.said == ["proof.png: 50.0% cannot be printed with press.icc"]
    assert not imported & {"torch", "torchvision"}
    record = json.loads((impasto.folder / "proof.json").read_text())
    assert (record["profile"], record["space"], record["kind"]) == ("press.icc", "CMYK", "printer")
    assert record["out_of_gamut"] == pytest.approx(0.5)
    assert record["size_px"] == [60, 80]
    assert record["largest_difference"] > 15 > record["mean_difference"] > 5
    proof = pyvips.Image.pngload(str(impasto.folder / "proof.png")).numpy()
    # A pure blue comes out as a dull violet, and a greyish brown as itself.
    assert proof[30, 20, 2] < 215
    assert np.abs(proof[30, 60].astype(int) - [140, 128, 115]).max() < 10
    gamut = pyvips.Image.pngload(str(impasto.folder / "gamut.png")).numpy()
    assert (gamut[30, 20] == [255, 0, 255]).all()
    assert len(set(gamut[30, 60].tolist())) == 1


def test_what_is_not_seen_is_paper(impasto: Impasto, words: list[Any]) -> None:
    """As every press prints it: without the blue, there is nothing that it cannot print."""
    pixels = np.ones((60, 80, 4), dtype=np.float32)
    pixels[..., :3] = canvas.read(impasto.folder / "a.tif")
    pixels[:, :40, 3] = 0
    canvas.write(impasto.folder / "a.tif", pixels)
    assert impasto.works(*words).said == ["proof.png: 0.0% cannot be printed with press.icc"]
    proof, gamut = (pyvips.Image.pngload(str(impasto.folder / f"{name}.png")) for name in ("proof", "gamut"))
    assert proof.numpy()[30, 20].min() > 250
    # White is shown as three quarters of it.
    assert (gamut.numpy()[30, 20] == 191).all()


def test_what_cannot_be_is_told_in_one_line(impasto: Impasto, words: list[Any], artwork: Artwork) -> None:
    (impasto.folder / "press.icc").write_bytes(b"no profile")
    assert impasto.refuses(*words).startswith("press.icc: expected an ICC profile of a display, printer or")
    (impasto.folder / "plan.json").write_text(artwork.plan.model_dump_json())
    assert impasto.refuses(*words) == "plan.json: expected a print.profile to be proofed with; found none."
