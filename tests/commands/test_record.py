from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path

from pictures import gradient, save
from running import Impasto
from tiny_artwork import HIGHEST, Artwork, Rendered


def test_every_print_is_in_the_record(
    impasto: Impasto, artwork: Artwork, vgg19: Path, stylised: Rendered, refined: Rendered
) -> None:
    for name in ("content.png", "style.png", "left.png", "right.png"):
        (impasto.folder / name).write_bytes((artwork.folder / name).read_bytes())
    for name in ("print.png", "print.jpg"):
        save(impasto.folder / "print.png", gradient(*HIGHEST))
        (impasto.folder / name).write_bytes((impasto.folder / "print.png").read_bytes())
    words = ["--plan", artwork.folder / "plan.json", "--records", stylised.record, refined.record]
    words += ["--weights", vgg19, "--output", "provenance.json"]
    impasto.works("record", "print.png", "print.jpg", *words)
    outputs = json.loads((impasto.folder / "provenance.json").read_text())["outputs"]
    digest = hashlib.sha256((impasto.folder / "print.png").read_bytes()).hexdigest()
    assert [(entry["path"], entry["sha256"]) for entry in outputs] == [
        ("print.png", digest),
        ("print.jpg", digest),
    ]
    line = impasto.refuses("record", "gone.tif", *words)
    assert line == "gone.tif: expected a file; found nothing of that name."


def test_a_record_is_of_what_made_the_pixels_whatever_is_installed_since(
    impasto: Impasto, artwork: Artwork, vgg19: Path, stylised: Rendered, refined: Rendered
) -> None:
    for name in ("content.png", "style.png", "left.png", "right.png"):
        (impasto.folder / name).write_bytes((artwork.folder / name).read_bytes())
    torch = importlib.metadata.version("torch")
    lower, top = stylised.facts(), refined.facts()
    assert lower["versions"]["torch"] == top["versions"]["torch"] == torch
    lower["versions"]["torch"], lower["device"]["name"], lower["precision"] = "0.1", "GPU", "bfloat16"
    top["versions"]["torch"], top["device"]["name"] = "0.2", "CPU"
    for name, facts in (("lower.json", lower), ("top.json", top)):
        (impasto.folder / name).write_text(json.dumps(facts))
    words = ["--plan", artwork.folder / "plan.json", "--records", "lower.json", "top.json"]
    save(impasto.folder / "print.png", gradient(*HIGHEST))
    impasto.works("record", "print.png", *words, "--weights", vgg19, "--output", "provenance.json")
    record = json.loads((impasto.folder / "provenance.json").read_text())
    assert record["versions"] == top["versions"]
    assert record["deviations"] == [
        "level 64 was made with torch 0.1, GPU, bfloat16; level 80 with torch 0.2, CPU, float32"
    ]
