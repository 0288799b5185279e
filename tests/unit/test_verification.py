"""An output against its record: each thing that can differ is named, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from noting import noting
from pictures import gradient, save
from safetensors.numpy import save_file

from pipeline import canvas, provenance, weights
from pipeline.collection import resolve_collection
from pipeline.config.reading import load, parse
from pipeline.errors import InputError
from pipeline.formats import Caption
from pipeline.geometry import Size
from pipeline.planning import resolve
from pipeline.verification import Finding, Verifier, find_record, read_provenance

SETTINGS = {"content": "c.png", "style": "i/s.png", "levels": [64], "print": {"dpi": 90}}


def save_weights(path: Path, value: float) -> str:
    tensors = {"a": np.full(3, value, np.float32)}
    digest = weights.tensors_sha256(tensors)
    metadata = {"name": "vgg19", "tensors_sha256": digest, "preprocessing": weights.IMAGENET.to_json()}
    path.parent.mkdir(exist_ok=True)
    save_file(tensors, path, metadata)
    return digest


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The record of a print and everything that it names, in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("i").mkdir()
    save(Path("c.png"), gradient(40, 60))
    save(Path("i/s.png"), gradient(20, 20))
    Path("config.yaml").write_text(json.dumps({"artworks": {"a": SETTINGS}}))
    artwork = parse({"artworks": {"a": SETTINGS}}).artworks["a"]
    monkeypatch.setattr(weights, "REGISTRY", {})
    record = provenance.record(
        artwork="a",
        settings=artwork.model_dump(mode="json"),
        seed=0,
        precision="float32",
        device={},
        versions=provenance.versions(),
        weights=[provenance.WeightsRecord("vgg19", save_weights(Path("w/vgg19.safetensors"), 1), "x", "y")],
        levels=[],
        inputs={name: Path(name) for name in ("c.png", "i/s.png")},
        outputs={},
    )
    folder = Path("results/a")
    canvas.write(Path("assembled.tif"), gradient(20, 30) / 255)
    canvas.export_print(
        Path("assembled.tif"), folder / "print.tif", 90, caption=Caption(provenance=json.dumps(record))
    )
    outputs = provenance.file_records({"print.tif": folder / "print.tif"})
    (folder / "provenance.json").write_text(json.dumps(record | {"outputs": outputs}))
    return folder / "provenance.json"


def found(record: Path, config: str | None = "config.yaml") -> list[Finding]:
    return list(Verifier(None if config is None else Path(config), Path("w")).verify(record))


def others(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.state, one.what, one.told) for one in findings if one.state != "matches"]


def test_what_nobody_touched_matches(made: Path) -> None:
    findings = found(made)
    assert others(findings) == []
    compared = [finding.what for finding in findings]
    assert compared[:6] == [
        *("output print.tif", "record inside print.tif", "input c.png", "input i/s.png"),
        *("weights vgg19", "settings"),
    ]
    assert "version of torch" in compared


def test_what_many_records_name_is_read_once_and_again_when_it_has_changed(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    monkeypatch.setattr(provenance, "file_sha256", noting(read, "hash", provenance.file_sha256))
    monkeypatch.setattr(weights, "identify", noting(read, "identify", weights.identify))
    monkeypatch.setattr("pipeline.verification.load", noting(read, "parse", load))
    verifier = Verifier(Path("config.yaml"), Path("w"))
    once = [
        f"hash {made.with_name('print.tif')}",
        "hash c.png",
        "hash i/s.png",
        "identify w/vgg19.safetensors",
    ]
    for _ in range(2):
        assert others(list(verifier.verify(made))) == []
        assert read == [*once, "parse config.yaml"]
    read.clear()
    save(Path("i/s.png"), gradient(20, 20) // 2)
    save_weights(Path("w/vgg19.safetensors"), 2)
    assert [what for _, what, _ in others(list(verifier.verify(made)))] == ["input i/s.png", "weights vgg19"]


def append(path: str) -> None:
    with Path(path).open("ab") as stream:
        stream.write(b"x")


def flip(path: str) -> None:
    data = bytearray(Path(path).read_bytes())
    data[-1] ^= 1
    Path(path).write_bytes(data)


@pytest.mark.parametrize(
    ("change", "what", "told"),
    [
        (lambda: append("results/a/print.tif"), "output print.tif", "recorded "),
        (lambda: flip("results/a/print.tif"), "output print.tif", "recorded sha256 "),
        (lambda: Path("results/a/print.tif").unlink(), "output print.tif", "it is not there (looked for "),
        (lambda: flip("c.png"), "input c.png", "recorded sha256 "),
        (lambda: Path("i/s.png").unlink(), "input i/s.png", "it is not there (looked for i/s.png)"),
        (lambda: save_weights(Path("w/vgg19.safetensors"), 2), "weights vgg19", "recorded sha256 "),
        (
            lambda: append("w/vgg19.safetensors"),
            "weights vgg19",
            "w/vgg19.safetensors: expected a safetensors",
        ),
        (
            lambda: Path("config.yaml").write_text(json.dumps({"artworks": {"a": SETTINGS | {"seed": 4}}})),
            "setting seed",
            "recorded 0, config.yaml has 4",
        ),
    ],
)
def test_each_difference_is_named_alone(
    made: Path, change: Callable[[], object], what: str, told: str
) -> None:
    change()
    ((state, named, said),) = others(found(made))
    assert (state, named) == ("differs", what)
    assert said.startswith(told)


def test_a_record_other_than_the_one_inside_the_image(made: Path) -> None:
    record = json.loads(made.read_text())
    made.write_text(json.dumps(record | {"seed": 5}))
    told = "other than in provenance.json: seed"
    assert others(found(made)) == [("differs", "record inside print.tif", told)]


NETWORK = {"styles": {"s": "i/s.png"}, "file": "net.safetensors"}


def painted(made: Path, recorded: str) -> list[tuple[str, str, str]]:
    """What differs where a network of this hash painted."""
    artwork = {**SETTINGS, "method": "feedforward", "feedforward": {"network": "n"}}
    raw = {"networks": {"n": NETWORK}, "artworks": {"a": artwork}}
    Path("config.yaml").write_text(json.dumps(raw))
    config = parse(raw)
    plan = resolve(config, "a", lambda _: Size(400, 600))
    made.with_name("plan.json").write_text(plan.model_dump_json())
    settings = provenance.plain(config.networks["n"].model_dump(mode="json"))
    network = {"name": "n", "settings": {**settings, "style_px": 64}}
    record = json.loads(made.read_text())
    record["painting"] = {"model": {"sha256": recorded, "names": "others"}, "network": network}
    made.write_text(json.dumps(record))
    return [each for each in others(found(made)) if "network n" in each[1] or "networks." in each[1]]


def test_the_network_that_painted_is_compared(made: Path) -> None:
    file = Path("net.safetensors")
    file.write_bytes(b"weights")
    setting = ("differs", "setting networks.n.style_px", "recorded 64, config.yaml has 256")
    assert painted(made, provenance.file_sha256(file))[0] == setting
    state, what, told = painted(made, "0" * 64)[0]
    assert (state, what) == ("differs", "network n")
    assert told.startswith(f"recorded sha256 {'0' * 64}, found ")
    file.unlink()
    assert ("unknown", "network n", "no file at net.safetensors") in others(found(made, None))
    made.with_name("plan.json").unlink()
    assert ("unknown", "network n") in [each[:2] for each in others(found(made, None))]


def test_what_does_not_touch_the_output_is_noted_or_unknown(made: Path) -> None:
    record = json.loads(made.read_text())
    del record["settings"]["seed"]
    record["versions"]["torch"] = "0.1"
    Path("w/vgg19.safetensors").unlink()
    made.write_text(json.dumps(record))
    states = {what: state for state, what, _ in others(found(made))}
    del states["record inside print.tif"]
    assert states == {"weights vgg19": "unknown", "setting seed": "noted", "version of torch": "noted"}
    Path("config.yaml").write_text(json.dumps({"artworks": {"b": SETTINGS}}))
    assert ("unknown", "settings", "config.yaml has no artwork a") in others(found(made))
    assert not any(finding.what.startswith("setting") for finding in found(made, None))


def test_inputs_of_one_name_are_each_compared_with_their_own(made: Path) -> None:
    folders = [Path.cwd() / name for name in ("photos", "masks", "lost")]
    images = [folder / "01.png" for folder in folders]
    for number, image in enumerate(images):
        image.parent.mkdir()
        save(image, gradient(20, 20) // (number + 1))
    settings = {"content": str(images[0]), "regions": [{"where": str(images[1]), "style": "i/s.png"}]}
    raw = {"artworks": {"a": {**settings, "levels": [64]}}}
    plan = resolve_collection(raw, lambda _: Size(20, 20)).plans["a"]
    files = [path for path in plan.inputs if path.name == "01.png"]
    assert files == images[:2]
    recorded = json.loads(made.read_text())
    recorded |= {"outputs": [], "weights": [], "inputs": provenance.file_records({str(f): f for f in files})}
    made.write_text(json.dumps(recorded))
    compared = [("unknown", "input 01.png")] * 2
    assert [(one.state, one.what) for one in found(made, None)][:2] == compared
    made.with_name("plan.json").write_text(plan.model_dump_json())
    assert others(found(made, None)) == []
    # Each with its own: two that changed places are not what they were.
    images[0].rename(images[2])
    images[1].rename(images[0])
    images[2].rename(images[1])
    assert [state for state, _, _ in others(found(made, None))] == ["differs", "differs"]


def test_where_nothing_says_where_an_input_lay_it_is_not_compared(made: Path) -> None:
    Path("c.png").unlink()
    told = "nothing says where it lies: there is no plan.json of this record beside it"
    assert others(found(made)) == [("unknown", "input c.png", told)]


def test_where_the_record_is(made: Path) -> None:
    picture = made.with_name("print.tif")
    for output in (made, made.parent, picture):
        assert find_record(output) == made
    with pytest.raises(InputError, match=r"expected an output with its record .* found no record"):
        find_record(Path("c.png"))
    with pytest.raises(InputError, match=r"names \(print.tif\); found no such file"):
        find_record(made.with_name("other.tif"))
    # What an earlier configuration made is not what the record tells of.
    made.with_name("print.jpg").touch()
    with pytest.raises(InputError, match=r"names \(print.tif\); found a file that it does not name"):
        find_record(made.with_name("print.jpg"))
    # One that it names and that is gone differs, as it does when the folder is named.
    picture.unlink()
    assert find_record(picture) == made


def test_a_damaged_record_is_told_in_a_line(made: Path) -> None:
    whole = json.loads(made.read_text())
    entries: list[object] = [{}, 3, {"path": "a", "bytes": "3", "sha256": ""}, {"path": "a", "bytes": 3}]
    damaged = [whole | {key: [entry]} for key in ("outputs", "inputs", "weights") for entry in entries]
    damaged += [whole | {"settings": []}, whole | {"versions": {"torch": 2}}, whole | {"artwork": None}]
    damaged += [{key: value for key, value in whole.items() if key != "artwork"}]
    for text in ("", "[]", "{}", '{"outputs": 3}', "[" * 10_000, *map(json.dumps, damaged)):
        made.write_text(text)
        with pytest.raises(InputError, match="expected a provenance record made by `impasto record`; found "):
            find_record(made)
    made.write_text(json.dumps(whole | {"outputs": [{}]}))
    with pytest.raises(InputError, match=r"found field required at outputs\.0\.path\."):
        read_provenance(made)
    made.write_bytes(b"\xff")
    with pytest.raises(InputError, match="found bytes that are no text"):
        read_provenance(made)
