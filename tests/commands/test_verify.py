from __future__ import annotations

import hashlib
import json

from running import Impasto

RECORD = {"artwork": "a", "inputs": [], "weights": [], "settings": {}, "versions": {"torch": "0.1"}}


def test_exit_codes_say_whether_anything_differs(impasto: Impasto) -> None:
    output = impasto.folder / "notes.txt"
    output.write_bytes(b"abc")
    entry = {"path": "notes.txt", "bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    (impasto.folder / "provenance.json").write_text(json.dumps({**RECORD, "outputs": [entry]}))
    words = ("notes.txt", "--config", "none")
    imported, done = impasto.imports("verify", *words, "--verbose")
    lines = done.printed.splitlines()
    assert lines[:2] == [
        "notes.txt: matches its record (1 compared and equal)",
        "  matches: output notes.txt",
    ]
    assert lines[2].startswith("  noted: version of torch: recorded 0.1, here ")
    assert not imported & {"torch", "torchvision"}

    output.write_bytes(b"abd")
    # A record that is none keeps no other from being looked at.
    differs = impasto.run("verify", "gone.tif", ".", *words)
    assert differs.returncode == 1
    assert differs.stderr.splitlines() == [
        "impasto verify: gone.tif: expected an output that provenance.json names (notes.txt); "
        "found no such file."
    ]
    assert [line for line in differs.stdout.splitlines() if line[0] != " "] == [
        ".: 1 of 2 differ (0 compared and equal)",
        "notes.txt: 1 of 2 differ (0 compared and equal)",
    ]


def test_what_could_not_be_compared_does_not_match(impasto: Impasto) -> None:
    model = {"name": "vgg19", "sha256": "0"}
    record = {**RECORD, "versions": {}, "outputs": [], "weights": [model]}
    (impasto.folder / "provenance.json").write_text(json.dumps(record))
    done = impasto.run("verify", ".")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.splitlines() == [
        ".: 2 of 2 could not be compared (0 compared and equal)",
        "  unknown: weights vgg19: no file at resources/weights/vgg19.safetensors",
        "  unknown: settings: there is no config.yaml here; --config says where, or `--config none` to leave "
        "them alone",
    ]
    told = impasto.works("verify", ".", "--config", "none", "--weights", "none").printed
    assert told == ".: matches its record (0 compared and equal)\n"


def test_what_cannot_be_verified(impasto: Impasto) -> None:
    (impasto.folder / "old").mkdir()
    for folder, record in ((".", {**RECORD, "outputs": []}), ("old", {**RECORD, "outputs": [{}]})):
        (impasto.folder / folder / "provenance.json").write_text(json.dumps(record))
    (impasto.folder / "print.jpg").touch()
    for words in (["print.jpg"], ["old"], [".", "--config", "gone.yaml"]):
        line = impasto.refuses("verify", *words)
        assert "expected" in line
