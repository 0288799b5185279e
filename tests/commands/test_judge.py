from __future__ import annotations

import json
from typing import Any

import pytest
from running import Impasto
from tiny_artwork import Artwork

from pipeline.config.quality import Limits, Quality

FIGURES = {"style_distance": 0.5, "content_similarity": 0.4, "seams": None, "clipping": 0.01}


def judged(impasto: Impasto, artwork: Artwork, limits: dict[str, Any]) -> list[Any]:
    """The command's words, for these limits."""
    quality = Quality(limits=Limits(**limits))
    settings = artwork.plan.settings.model_copy(update={"quality": quality})
    plan = artwork.plan.model_copy(update={"settings": settings})
    (impasto.folder / "plan.json").write_text(plan.model_dump_json())
    (impasto.folder / "q.json").write_text(json.dumps({"figures": FIGURES}))
    return ["judge", "q.json", "--plan", "plan.json", "--output", "passed"]


def test_figures_within_their_limits_pass(impasto: Impasto, artwork: Artwork) -> None:
    limits = {"style_distance": 0.5, "content_similarity": 0.4, "seams": 0.0, "colour_to_style": 0}
    imported, done = impasto.imports(*judged(impasto, artwork, limits))
    assert done.said == ["passed: within its limits"]
    assert (impasto.folder / "passed").exists()
    assert not imported & {"torch", "torchvision"}


def test_figures_outside_fail_with_one_line(impasto: Impasto, artwork: Artwork) -> None:
    limits = {"style_distance": 0.49, "content_similarity": 0.41, "clipping": 0.02}
    assert impasto.refuses(*judged(impasto, artwork, limits)) == (
        "q.json: expected style_distance of at most 0.49; found 0.5, and content_similarity of at least "
        "0.41; found 0.4. The print stays."
    )
    assert not (impasto.folder / "passed").exists()


@pytest.mark.parametrize("text", [None, "[]", "{}", "no", '{"figures": {"seams": "x"}}'])
def test_what_are_no_figures_is_told_in_one_line(
    impasto: Impasto, artwork: Artwork, text: str | None
) -> None:
    command = judged(impasto, artwork, {"seams": 0.02})
    (impasto.folder / "q.json").unlink()
    if text is not None:
        (impasto.folder / "q.json").write_text(text)
    assert impasto.refuses(*command).startswith("q.json: expected figures made by `impasto assess`; found ")
