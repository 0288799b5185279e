from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import record_files
from pipeline.config.sections import Model
from pipeline.errors import InputError


class Facts(Model):
    share: float


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"share": 0.25}')
    assert record_files.read(file, Facts, "segment") == Facts(share=0.25)


@pytest.mark.parametrize(
    ("contents", "found"),
    [
        (None, "no such file or directory"),
        (b"\xff\xfe", "something else"),
        (b'{"shares": 0.25}', "something else"),
        (b"[]", "something else"),
    ],
)
def test_anything_else_names_who_makes_such_records(
    tmp_path: Path, contents: bytes | None, found: str
) -> None:
    file = tmp_path / "a.json"
    if contents is not None:
        file.write_bytes(contents)
    said = f"a.json: expected a record made by `impasto stylise` or `impasto refine`; found {found}."
    with pytest.raises(InputError) as error:
        record_files.read(file, Facts, "stylise", "refine")
    assert str(error.value).endswith(said)
