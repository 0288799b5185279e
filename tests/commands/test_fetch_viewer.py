from __future__ import annotations

from running import Impasto

WANTED = "14d587cd3ee7c4861f1a41077ce642029364a21029956ba635bd8fb1202cf9ad"


def test_a_file_of_the_users_that_is_none_or_another_is_told_in_one_line(impasto: Impasto) -> None:
    words = ["fetch-viewer", "--output", "made/viewer.js", "--path", "own.js"]
    assert impasto.refuses(*words).startswith("own.js: expected a file; found none.")
    (impasto.folder / "own.js").write_text("// another\n")
    assert impasto.refuses(*words).startswith(f"own.js: expected a file with sha256 {WANTED}; found ")
    assert not (impasto.folder / "made" / "viewer.js").exists()
