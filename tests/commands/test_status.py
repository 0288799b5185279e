from __future__ import annotations

import json

from pictures import gradient, save
from running import Impasto


def test_a_collection_is_told_in_one_line_or_as_json(impasto: Impasto) -> None:
    save(impasto.folder / "c.png", gradient(40, 60))
    rows = "name,content,on_demand\na,c.png,\nb,gone.png,\nlater,c.png,true\n"
    (impasto.folder / "sheet.csv").write_text(rows)
    config = {"title": "T", "sheet": "sheet.csv", "defaults": {"style": "c.png"}}
    (impasto.folder / "config.yaml").write_text(json.dumps(config))
    imported, done = impasto.imports("status")
    assert done.printed.splitlines() == [
        "0 of 2 artworks done, 1 failed, 1 to do (0% of the rendering)",
        "  on demand: 0 of 1 artworks done, 1 to do (not part of a plain `snakemake`)",
        "  failed: b sheet.csv: row 3, column content: gone.png: expected an image file; found no such file.",
    ]
    assert not imported & {"torch", "torchvision"}
    assert impasto.works("status", "--all").printed.splitlines()[2] == "  to do: a"
    found = json.loads(impasto.works("status", "--json").printed)
    assert (found["title"], found["at_work"], found["counts"]["to do"]) == ("T", False, 1)
    assert found["counts_on_demand"]["to do"] == 1
    assert [artwork["state"] for artwork in found["artworks"]] == ["to do", "failed", "to do"]
    watched = impasto.works("status", "--watch", 1)
    assert watched.printed.count("\n") == 1
    assert watched.said == ["no run is at work"]


def test_results_that_one_may_only_read_are_told_of(impasto: Impasto) -> None:
    save(impasto.folder / "c.png", gradient(40, 60))
    config = {"artworks": {"a": {"content": "c.png", "style": "c.png"}}, "results_dir": "/proc/1/results"}
    (impasto.folder / "config.yaml").write_text(json.dumps(config))
    assert impasto.works("status").printed.startswith("0 of 1 artworks done, 1 to do ")


def test_a_wrong_configuration_is_one_line(impasto: Impasto) -> None:
    done = impasto.run("status", "--config", "none.yaml")
    assert done.returncode == 2
    assert (
        done.stderr
        == "impasto status: none.yaml: expected a configuration file; found no such file or directory.\n"
    )
