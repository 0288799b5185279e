from __future__ import annotations

import pytest
from running import Impasto

from pipeline import canvas
from pipeline.geometry import Size


def test_a_painted_style_needs_no_network(impasto: Impasto) -> None:
    name = "painted_fields.png"
    imported, done = impasto.imports("make-demo", name, "--output", f"demo/{name}")
    assert done.said == [f"demo/{name}: made"]
    assert not imported & {"torch", "torchvision"}
    path = impasto.folder / "demo" / name
    assert canvas.read_header(path).size == Size(768, 768)
    # A picture, and not one colour or noise about it: neighbours are alike, far pixels are not.
    pixels = canvas.read(path)
    assert pixels.std(axis=(0, 1)).min() > 0.1
    assert abs(pixels[:, 1:] - pixels[:, :-1]).mean() < 0.5 * abs(pixels[:, 300:] - pixels[:, :-300]).mean()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mona_lisa.png", "--output", "x.png"], "argument NAME: invalid choice: 'mona_lisa.png'"),
        (["painted_night.png"], "the following arguments are required: --output"),
    ],
)
def test_an_unknown_picture_is_told_in_one_line(impasto: Impasto, words: list[str], said: str) -> None:
    assert said in impasto.refuses("make-demo", *words)
