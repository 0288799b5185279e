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
    imported, done = impasto.imports("verify", "notes.txt", "--verbose")
    lines = done.printed.splitlines()
    assert lines[:2] == [
        "notes.txt: matches its record (1 compared and equal)",
        "  matches: output notes.txt",
    ]
    assert lines[2].startswith("  noted: version of torch: recorded 0.1, here ")
    assert not imported & {"torch", "torchvision"}

    output.write_bytes(b"abd")
    differs = impasto.run("verify", "notes.txt", ".")
    assert differs.returncode == 1
    assert differs.stderr == ""
    assert [line for line in differs.stdout.splitlines() if line[0] != " "] == [
        "notes.txt: 1 of 2 differ (0 compared and equal)",
        ".: 1 of 2 differ (0 compared and equal)",
    ]


def test_what_cannot_be_verified(impasto: Impasto) -> None:
    for words in (["gone.tif"], [".", "--config", "gone.yaml"]):
        done = impasto.run("verify", *words)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "expected" in done.stderr
        assert "Traceback" not in done.stderr
