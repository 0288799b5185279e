from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pictures import gradient, save

from pipeline import headers
from pipeline.errors import InputError
from pipeline.geometry import Size
from pipeline.headers import HeaderCache


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return save(tmp_path / "c.png", gradient(20, 30))


def cached(tmp_path: Path) -> HeaderCache:
    return HeaderCache(tmp_path / "new" / "sizes.json", tmp_path / "demo")


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "read_header", lambda path, **_: pytest.fail(f"{path} was read"))


def test_a_size_is_read_once(tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached(tmp_path)
    assert first.size_of(picture) == Size(20, 30)
    first.save()
    assert list(json.loads((tmp_path / "new" / "sizes.json").read_text())) == [str(picture)]
    forbid_reading(monkeypatch)
    assert first.size_of(picture) == Size(20, 30)
    assert cached(tmp_path).size_of(picture) == Size(20, 30)


def test_a_changed_file_is_read_again(tmp_path: Path, picture: Path) -> None:
    cache = cached(tmp_path)
    cache.size_of(picture)
    cache.save()
    save(picture, gradient(40, 30))
    assert cached(tmp_path).size_of(picture) == Size(40, 30)


def test_a_file_of_another_time_is_read_again(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cached(tmp_path)
    cache.size_of(picture)
    os.utime(picture, ns=(1, 1))
    forbid_reading(monkeypatch)
    with pytest.raises(pytest.fail.Exception, match="was read"):
        cache.size_of(picture)


def test_nothing_new_is_not_written(tmp_path: Path, picture: Path) -> None:
    cache = cached(tmp_path)
    cache.size_of(picture)
    cache.save()
    (tmp_path / "new" / "sizes.json").unlink()
    cache.size_of(picture)
    cache.save()
    assert not (tmp_path / "new" / "sizes.json").exists()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"c.png": [1]}', '{"c.png": [1, 2, 0, 3]}', '{"c.png": "x"}', '{"c.png": null}'],
)
def test_an_unreadable_cache_is_forgotten(tmp_path: Path, picture: Path, content: str) -> None:
    file = tmp_path / "sizes.json"
    file.write_text(content)
    cache = HeaderCache(file, tmp_path / "demo")
    assert cache.size_of(picture) == Size(20, 30)
    cache.save()
    assert list(json.loads(file.read_text())) == [str(picture)]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, picture: Path) -> None:
    (tmp_path / "file").touch()
    cache = HeaderCache(tmp_path / "file" / "sizes.json", tmp_path / "demo")
    cache.size_of(picture)
    cache.save()


def test_without_a_file_nothing_is_kept(tmp_path: Path, picture: Path) -> None:
    cache = HeaderCache(None, tmp_path / "demo")
    assert cache.size_of(picture) == Size(20, 30)
    cache.save()
    assert list(tmp_path.iterdir()) == [picture]


def test_a_demo_input_has_its_size_before_it_is_made(tmp_path: Path) -> None:
    cache = cached(tmp_path)
    assert cache.size_of(tmp_path / "demo" / "coffee.png") == Size(400, 600)
    save(tmp_path / "demo" / "coffee.png", gradient(20, 30))
    assert cache.size_of(tmp_path / "demo" / "coffee.png") == Size(20, 30)


@pytest.mark.parametrize("name", ["demo/no-such.png", "coffee.png"])
def test_other_missing_files_are_errors(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="expected an image file; found no such file"):
        cached(tmp_path).size_of(tmp_path / name)
