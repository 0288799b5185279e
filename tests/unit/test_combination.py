"""The form in which masks are combined: read, written, named, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.combination import (
    Combination,
    Expression,
    ExpressionError,
    label,
    leaves,
    lengths,
    mapped,
    parse,
    to_plain,
    without_not,
    words,
)

SOFT = {"feather": "2 mm", "of": {"grow": "3 px", "of": {"minus": ["person", {"not": "m/the hat.png"}]}}}


def accept(_: str) -> None:
    pass


def read(raw: Any) -> Expression:
    return parse(raw, accept)


def expressions() -> st.SearchStrategy[Any]:
    texts = st.sampled_from(["person", "everything", "a.png", "b/c.tif"])
    length = st.sampled_from(["1 px", "2.5 mm"])

    def larger(smaller: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(smaller, min_size=1, max_size=3)
        return st.one_of(
            st.builds(lambda x: {"not": x}, smaller),
            *(
                st.builds(lambda xs, name=name: {name: xs}, several)
                for name in ("union", "intersection", "minus")
            ),
            *(
                st.builds(lambda by, x, name=name: {name: by, "of": x}, length, smaller)
                for name in ("grow", "shrink", "feather")
            ),
        )

    return st.recursive(texts, larger, max_leaves=8)


def test_an_expression_is_read_as_it_stands() -> None:
    assert read("person") == "person"
    assert read({"union": ["a.png", "not b.png"]}) == Combination(
        "union", ("a.png", Combination("not", ("b.png",)))
    )
    assert read({"grow": " 3  mm", "of": "a.png"}) == Combination("grow", ("a.png",), "3 mm")
    assert read("not not a.png") == read({"not": {"not": "a.png"}})
    assert read("./not so.png") == "./not so.png"
    assert read("note.png") == "note.png"


@given(expressions())
def test_an_expression_is_written_as_it_is_read(raw: Any) -> None:
    assert to_plain(read(raw)) == raw
    assert read(read(raw)) == read(raw)


def test_leaves_lengths_and_others_in_their_place() -> None:
    found = read(SOFT)
    assert list(leaves(found)) == ["person", "m/the hat.png"]
    assert list(lengths(found)) == ["2 mm", "3 px"]
    other = mapped(found, lambda leaf: Combination("not", (leaf,)), lambda length: length.replace("mm", "cm"))
    assert to_plain(other) == {
        "feather": "2 cm",
        "of": {"grow": "3 px", "of": {"minus": [{"not": "person"}, {"not": {"not": "m/the hat.png"}}]}},
    }


def test_what_stands_below_every_not() -> None:
    assert without_not("a.png") == ("a.png", False)
    assert without_not(read("not a.png")) == ("a.png", True)
    assert without_not(read("not not a.png")) == ("a.png", False)
    assert without_not(read({"not": {"union": ["not a.png"]}})) == (read({"union": ["not a.png"]}), True)


@pytest.mark.parametrize(
    ("raw", "name", "sentence"),
    [
        ("m/the sky.png", "the-sky", "the sky.png"),
        ("(été).png", "t", "(été).png"),
        ("-маска.png", "mask", "-маска.png"),
        ({"union": ["маска.png", "é a.png"]}, "mask-union-a", "маска.png union é a.png"),
        ("everything", "everything", "everything"),
        ("not a.png", "not-a", "not a.png"),
        ({"minus": ["person", "hat.png"]}, "person-minus-hat", "person minus hat.png"),
        ({"union": ["a.png", "b.png", "c.png"]}, "a-union-b-union-c", "a.png union b.png union c.png"),
        (
            SOFT,
            "person-minus-not-the-hat-grown-feathered",
            "((person minus (not the hat.png)) grown by 3 px) feathered by 2 mm",
        ),
        ({"shrink": "1 px", "of": "a.png"}, "a-shrunk", "a.png shrunk by 1 px"),
        (
            {"intersection": [f"{'a' * 50}.png", f"{'b' * 15}-{'b' * 30}.png"]},
            f"{'a' * 50}-intersection-{'b' * 15}",
            "",
        ),
    ],
)
def test_an_expression_has_a_name_and_can_be_read(raw: Any, name: str, sentence: str) -> None:
    assert label(read(raw)) == name
    assert not sentence or words(read(raw)) == sentence


@pytest.mark.parametrize(
    ("raw", "keys", "said"),
    [
        (5, (), "must be a mask, or a mapping such as {not: person}; found 5"),
        (None, (), "must be a mask, or a mapping such as {not: person}; found None"),
        ({"not": {"union": [True]}}, ("not", "union", 0), "must be a mask, or a mapping such as"),
        ({"grow": "1 px", "of": ["a.png"]}, ("of",), "must be a mask, or a mapping such as"),
        (
            {"and": ["a.png"]},
            (),
            "must have one operation among not, union, intersection, minus, grow, shrink,",
        ),
        ({5: "a.png"}, (), "found the key 5"),
        ({}, (), "must have one operation; found none"),
        ({"of": "a.png"}, (), "must have one operation; found none"),
        ({"not": "a.png", "grow": "1 px", "of": "a.png"}, (), "must have one operation; found not and grow"),
        ({"union": []}, ("union",), "must be a list of masks, such as [a.png, b.png]; found []"),
        ({"minus": {"a": 1}}, ("minus",), "must be a list of masks"),
        ({"union": ["x" * 200, []]}, ("union", 1), "found []"),
        ({"union": "x" * 200}, ("union",), "..."),
        ({"grow": "a.png"}, (), "must have `of` beside grow, a mask; found none"),
        ({"union": ["a.png"], "of": "a.png"}, (), "must not have `of` beside union; found it"),
        ({"grow": "-1 px", "of": "a.png"}, ("grow",), "must be a length with its unit (mm, cm, in or px)"),
        ({"grow": None, "of": "a.png"}, ("grow",), "found 'None'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(raw: Any, keys: tuple[object, ...], said: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        read(raw)
    assert caught.value.keys == keys
    assert said in caught.value.message


def test_leaves_and_lengths_are_checked_where_they_stand() -> None:
    def refuse(text: str) -> None:
        raise ValueError(f"must be better; found {text}")

    raw = {"grow": "1 px", "of": {"minus": [{"union": ["x"]}, {"not": "y"}]}}
    with pytest.raises(ExpressionError, match=r"^must be better; found x$") as caught:
        parse(raw, refuse)
    assert caught.value.keys == ("of", "minus", 0, "union", 0)
    with pytest.raises(ExpressionError, match=r"^must be better; found 1 px$") as caught:
        parse(raw, accept, refuse)
    assert caught.value.keys == ("grow",)
    with pytest.raises(ExpressionError, match=r"^must be better; found y$"):
        parse("not y", refuse)


def test_a_short_text_cannot_make_endless_work() -> None:
    deep: Any = "a.png"
    for _ in range(17):
        deep = {"not": deep}
    with pytest.raises(ExpressionError, match="must be at most 16 operations deep; found more"):
        read(deep)
    with pytest.raises(ExpressionError, match="must be at most 16 operations deep; found more"):
        read("not " * 5000 + "a.png")
    wide: Any = "a.png"
    for _ in range(12):
        wide = {"union": [wide] * 10}
    with pytest.raises(ExpressionError, match="must be made of at most 256 masks; found more"):
        read(wide)
