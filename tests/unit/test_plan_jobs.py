"""Which jobs an artwork has, as their logs are called; held to what the rules say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import pyvips
from test_rules import RULES, section

from pipeline.config.reading import parse
from pipeline.geometry import Size
from pipeline.plan import Plan
from pipeline.plan_jobs import SHARED_RULES, own_jobs, shared_jobs
from pipeline.planning import resolve

LOGS = {
    log for text in RULES.values() for log in re.findall(r'\{RESULTS\}/logs/(.+)\.log"', section(text, "log"))
}
"""As the rules write them: `{{artwork}}/refine-{{level}}`, `train/{{key}}`, `report`."""

RICH: dict[str, Any] = {
    "regions": [
        {"where": "person", "style": {"image": "s.png", "fine": "t.png"}},
        {"where": {"minus": ["background", "m.png"]}, "style": "t.png"},
        {"where": "segment-1-of-2", "style": "resources/demo/coffee.png"},
    ],
    "print": {
        "width": "100 px",
        "height": "100 px",
        "format": ["tiff", "png"],
        "panels": {"columns": 2},
        "profile": "p.icc",
    },
    "levels": None,
    "quality": {"limits": {"clipping": 0.1}},
    "deepzoom": "szi",
    "masks": {"sam": "vit_b"},
}
START = {"start": "feedforward", "feedforward": {"network": "n"}}
PAINTED = {"method": "feedforward", "feedforward": {"network": "n"}}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.icc").write_bytes(pyvips.Image.profile_load("srgb"))
    Path("own.safetensors").touch()


def plan(own: dict[str, Any], **network: Any) -> Plan:
    artwork = {"content": "c.png", "levels": [64, 80], "deepzoom": "none", **own}
    if "regions" not in own:
        artwork["style"] = "s.png"
    trained = {
        "styles": {"s": "s.png"},
        "photographs": ["folder", "resources/demo/chelsea.png"],
        "size_px": 64,
    }
    networks = {"n": {"styles": {"s": "s.png"}, **network} if network else trained}
    raw = {
        "networks": networks,
        "artworks": {"a": artwork},
        "weights": {"sam_vit_b": {"path": "own.safetensors"}},
    }
    return resolve(parse(raw), "a", lambda _: Size(200, 300))


def named(found: Plan) -> list[str]:
    """What it shares, without the hashes."""
    return [re.sub(r"-[0-9a-f]{12}$", "", f"{job.rule} {job.key}") for job in shared_jobs(found)]


def test_the_jobs_are_those_of_the_rules() -> None:
    own = {name for found in (plan(RICH), plan(START)) for name in own_jobs(found)}
    rules = {name.partition("-")[0] for name in own}
    assert {f"{{{{artwork}}}}/{rule}" for rule in rules} == {
        log.partition("-")[0] for log in LOGS if log.startswith("{{artwork}}")
    }
    shared = {log.partition("/")[0] for log in LOGS if "/" in log and "{{artwork}}" not in log}
    assert {*SHARED_RULES} == shared - {"deliver"}
    rich = {name.partition(" ")[0] for found in (plan(RICH), plan(START)) for name in named(found)}
    assert rich == {*SHARED_RULES}


def test_an_artworks_own_jobs() -> None:
    always = ("assemble", "export_print-tif", "record", "assess", "preview")
    assert own_jobs(plan({})) == ("plan", "stylise-64", "upsample-80", "refine-80", *always)
    assert own_jobs(plan(START)) == ("plan", "apply-64", "stylise-64", "upsample-80", "refine-80", *always)
    assert own_jobs(plan(PAINTED)) == ("plan", "apply-80", *always)
    assert own_jobs(plan(RICH)) == (
        *("plan", "guide-100", "stylise-100"),
        *("assemble", "export_print-tif", "export_print-png", "export_panels", "export_deepzoom", "record"),
        *("proof", "assess", "judge", "preview"),
    )


def test_what_an_artwork_shares() -> None:
    found = named(plan(PAINTED))
    assert found == [
        *("fetch_weights vgg16", "make_demo chelsea.png", "prepare c", "prepare s"),
        *("recolour c-65x98", "train n", "export_network n"),
    ]
    # A network that is there already is not trained; figures of what it paints need its loss network.
    own, made = named(plan(PAINTED, file="own.safetensors")), ("make_demo", "train", "export_network")
    assert own == [job for job in found if job.partition(" ")[0] not in made]
    # Where it only gives the start, nothing does.
    began = named(plan({**START, "network": {"name": "vgg19"}}, file="own.safetensors"))
    assert began[:2] == ["fetch_weights vgg19", "prepare c"]
