"""Sheets: what a row says, and every mistake with its row and column."""

# ruff: noqa: E501 - rows and errors stand as their reader sees them

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config.models import Config
from pipeline.config.reading import parse
from pipeline.config.sheets import read_sheet
from pipeline.errors import ConfigError, InputError, PipelineError


def sheet(folder: Path, text: str | bytes, name: str = "sheet.csv") -> Path:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def config(folder: Path, text: str, **more: Any) -> Config:
    return parse({"sheet": str(sheet(folder, text)), **more})


def mistake(folder: Path, text: str, **more: Any) -> str:
    with pytest.raises(PipelineError) as caught:
        config(folder, text, **more)
    return str(caught.value).replace(f"{folder}/", "")


def test_rows_are_artworks_and_columns_are_keys(tmp_path: Path) -> None:
    text = (
        "name,content,style,levels,colour.mode,print.dpi,content_weight,regions.0.where,regions.0.style,# note\n"
        'one,photos/a b.jpg,night.png,"[256, 512]",luminance,300,2.5,,,seen\n'
        "\n"
        "two,2024.png,,,,,,person,5.png,\n"
    )
    found = read_sheet(sheet(tmp_path, text))
    assert [(row.name, row.number) for row in found] == [("one", 2), ("two", 4)]
    assert found[0].settings == {
        "content": "photos/a b.jpg",
        "style": "night.png",
        "levels": [256, 512],
        "colour": {"mode": "luminance"},
        "print": {"dpi": 300},
        "content_weight": 2.5,
    }
    assert found[1].settings == {"content": "2024.png", "regions": [{"where": "person", "style": "5.png"}]}


def test_a_sheet_inherits_and_can_be_changed_by_name(tmp_path: Path) -> None:
    found = config(
        tmp_path,
        "name,content,seed\na,a.png,1\nb,b.png,\n",
        defaults={"style": "s.png", "seed": 7},
        artworks={"a": None, "b": {"content_weight": 3}, "c": {"content": "c.png"}},
    )
    assert list(found.artworks) == ["a", "b", "c"]
    assert [artwork.seed for artwork in found.artworks.values()] == [1, 7, 7]
    assert [artwork.content_weight for artwork in found.artworks.values()] == [1, 3, 1]
    assert found.artworks["b"].content == Path("b.png")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.tsv", "content\tstyle\na, b.png\ts.png\n"),
        ("s.CSV", 'content;style\r\n"a, b.png";s.png\r\n'),
        ("s.csv", b'\xef\xbb\xbfcontent,style\n"a, b.png",s.png\n'),
    ],
)
def test_delimiters_and_what_spreadsheets_write(tmp_path: Path, name: str, text: str | bytes) -> None:
    (row,) = read_sheet(sheet(tmp_path, text, name))
    assert (row.name, dict(row.settings)) == ("a-b", {"content": "a, b.png", "style": "s.png"})


def test_values_are_numbers_words_or_yaml(tmp_path: Path) -> None:
    text = "content;iterations;tv_weight;network.normalised;style;levels.0;levels.1\na.png;3;1e-4;TRUE;{image: s.png, scale: 2};64;128\n"
    (row,) = read_sheet(sheet(tmp_path, text))
    assert row.settings == {
        "content": "a.png",
        "iterations": 3,
        "tv_weight": 0.0001,
        "network": {"normalised": True},
        "style": {"image": "s.png", "scale": 2},
        "levels": [64, 128],
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("content\n", "sheet.csv: expected a row for each artwork below the headings; found none."),
        ("", "sheet.csv: row 1: expected a column 'content' among the headings; found none."),
        ("name,style\n", "sheet.csv: row 1: expected a column 'content' among the headings; found name, style."),
        ("content,content\n", "sheet.csv: row 1: expected each column once; found 'content' again."),
        (
            "content,colour,colour.mode\n",
            "sheet.csv: row 1: expected either a column 'colour' or columns below it; found colour.mode.",
        ),
        (
            "content,a..b\n",
            "sheet.csv: row 1, column a..b: expected keys with one dot between them; found one without a key, "
            "in column 2.",
        ),
        ("content\na.png,x\n", "sheet.csv: row 2: expected 1 cells"),
        ("content,\na.png,x\n", "sheet.csv: row 2: expected a heading above every cell; found none above 'x'."),
        ("name,content\na,\n", "sheet.csv: row 2, column content: expected a path; found an empty cell."),
        ('content\n"a.png\n', "sheet.csv: row 2: expected cells in order, quotes in pairs; found"),
        (
            "name,content\na,a.png\nmy name,a.png\n",
            "sheet.csv: row 3, column name: expected a name of letters, digits, _ and -, with a letter or digit "
            "first; found 'my name'. my-name would do.",
        ),
        ("name,content\nÜber/Öl,a.png\n", "found 'Über/Öl'. Uber-Ol would do."),
        ("name,content\n..,a.png\n", "with a letter or digit first; found '..'."),
        ("name,content\n../a,a.png\n", "found '../a'. a would do."),
        (
            "content\n画.png\n",
            "sheet.csv: row 2, column content: expected a file whose name has letters a to z or digits; found "
            "画.png. Give a name.",
        ),
        (
            "name,content\na,a.png\nb,b.png\na,c.png\n",
            "sheet.csv: row 4: expected a name of its own for each artwork; found 'a' again, the name of "
            "sheet.csv: row 2. Give a name.",
        ),
        ("content\na/x.png\nb/x.png\n", "sheet.csv: row 3: expected a name of its own for each artwork; found 'x'"),
        (
            'content,colour\na.png,"{mode: none, mode: luminance}"\n',
            "sheet.csv: row 2, column colour: expected each key once; found 'mode' again.",
        ),
        (f"content,levels\na.png,{'[' * 3000}\n", "sheet.csv: row 2, column levels: expected a list such as"),
        ("content,levels\na.png,[256\n", "sheet.csv: row 2, column levels: expected a list such as [256, 512]"),
        (
            "content,levels.0,levels.2\na.png,1,2\n",
            "sheet.csv: row 2, column levels: expected entries numbered from 0 without a gap; found 0, 2.",
        ),
        (
            "content,regions.00.where,regions.01.where\na.png,person,background\n",
            "sheet.csv: row 2, column regions: expected entries numbered from 0 without a gap; found 00, 01.",
        ),
        (
            "content,levels.+0\na.png,64\n",
            "sheet.csv: row 2, column levels: expected entries numbered from 0 without a gap; found +0.",
        ),
        (f"content,levels.{'1' * 5000}\na.png,64\n", "sheet.csv: row 2, column levels: expected entries numbered"),
        (f"content,{'.'.join('ab' * 500)}\na.png,1\n", "sheet.csv: row 1: expected at most 50 keys; found 1000 in column 2."),
        (
            f"content,seed\na.png,{'1' * 5000}\n",
            f"sheet.csv: row 2, column seed: expected a whole number of fewer digits; found '{'1' * 76}....",
        ),
        (
            "content,levels\na.png,[2024-13-45]\n",
            "sheet.csv: row 2, column levels: expected a list such as [256, 512], or a mapping such as {mode: luminance}; "
            "found [2024-13-45].",
        ),
        (f"content,levels\na.png,[{'1' * 5000}]\n", f"{{mode: luminance}}; found [{'1' * 76}...."),
        ("content,style\na.png,{x: &a {y: *a}}\n", "column style: expected a list such as [256, 512], or a mapping"),
        (
            "content,colour.moed\na.png,x\n",
            "sheet.csv: row 2, column colour.moed: expected a known key; found an unknown key with value 'x'. "
            "Perhaps mode was meant.",
        ),
        (
            "content,seed\na.png,1\nb.png,many\n",
            "sheet.csv: row 3, column seed: expected a whole number; found 'many'.",
        ),
        ("content,levels\na.png,512\n", "sheet.csv: row 2, column levels: expected a list, such as [a, b]; found 512."),
        (
            "content,levels\na.png,\"[512, x]\"\n",
            "sheet.csv: row 2, column levels: 1: expected a whole number; found 'x'.",
        ),
        (
            "content,levels\na.png,\"[512, 256]\"\n",
            "sheet.csv: row 2, column levels must increase; found 256 after 512.",
        ),
        ("name,content\nshared,a.png\n", "config.yaml: artworks must not use the name 'shared'"),
        ("name,content\nA,a.png\na,a.png\n", "must have names that differ in more than case"),
    ],
)  # fmt: skip
def test_mistakes_name_row_and_column(tmp_path: Path, text: str, line: str) -> None:
    told = mistake(tmp_path, text, defaults={"style": "s.png"})
    assert line in told
    assert "\n" not in told


def test_the_decimal_comma_of_spreadsheets_that_write_semicolons(tmp_path: Path) -> None:
    text = "name;content;style;content_weight;tv_weight;print.width;levels\na;1,5.png;2,5;2,5;-0,25;1,5 cm;[64, 128]\n"
    (row,) = read_sheet(sheet(tmp_path, text))
    assert row.settings == {
        "content": "1,5.png",
        "style": "2,5",
        "content_weight": 2.5,
        "tv_weight": -0.25,
        "print": {"width": "1,5 cm"},
        "levels": [64, 128],
    }
    # Elsewhere it may mean thousands.
    for name, text in (
        ("s.csv", 'content,content_weight\na.png,"2,500"\n'),
        ("s.tsv", "content\tcontent_weight\na.png\t2,500\n"),
    ):
        (row,) = read_sheet(sheet(tmp_path, text, name))
        assert row.settings["content_weight"] == "2,500"


def test_names_of_files_are_no_yaml_and_remarks_are_not_looked_at(tmp_path: Path) -> None:
    text = "content;#;# i.e. a..b;#;style\r[1] {a}.png;x;y;z;{image: '{s}, t.png'}\r"
    (row,) = read_sheet(sheet(tmp_path, text))
    assert (row.name, row.settings) == (
        "1-a",
        {"content": "[1] {a}.png", "style": {"image": "{s}, t.png"}},
    )


def test_files_that_are_no_sheets(tmp_path: Path) -> None:
    for name, contents, line in [
        ("s.xlsx", b"PK", "expected a sheet that ends in .csv or .tsv; found .xlsx."),
        ("s.csv", b"content\n\xff\xfe\n", "expected text in UTF-8; found other bytes. Save it as CSV UTF-8."),
    ]:
        with pytest.raises(InputError, match=line):
            read_sheet(sheet(tmp_path, contents, name))
    with pytest.raises(InputError, match=r"none\.csv: expected a sheet of artworks; found no such file"):
        read_sheet(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match=r"sheet: expected the path of a sheet, or a list; found \[5\]"):
        parse({"sheet": 5})
    with pytest.raises(ConfigError, match=r"sheet: expected the path of a sheet, or a list; found \['a\\x00"):
        parse({"sheet": "a\0.csv"})


def test_what_is_said_in_the_configuration_is_told_of_there(tmp_path: Path) -> None:
    text = "name,content\na,a.png\n"
    told = mistake(tmp_path, text, defaults={"style": "s.png"}, artworks={"a": {"seed": "x"}})
    assert told == "config.yaml: artworks.a.seed: expected a whole number; found 'x'."
    told = mistake(tmp_path, text, artworks={"a": {"content": "b.png"}})
    assert told == (
        "config.yaml: artworks.a: expected another name, or settings without a content that change the artwork of "
        "that name; found a content beside that of sheet.csv: row 2."
    )
    told = mistake(tmp_path, text, artworks={"a": 5})
    assert told.endswith("that change the artwork of that name; found 5 beside that of sheet.csv: row 2.")
    for artworks, found in ((True, "true"), (5, "5"), ([], "[]"), ("a", "'a'")):
        told = mistake(tmp_path, text, artworks=artworks)
        assert told == f"config.yaml: artworks: expected names and settings; found {found}."
