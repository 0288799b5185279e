"""Writes pipeline/config/schema.json from the models: run `python tests/make_schema.py` when they change."""

from __future__ import annotations

from pathlib import Path

import pipeline
from pipeline.config.schema import schema_text
from pipeline.files import write_text

SCHEMA = Path(pipeline.__file__).parent / "config" / "schema.json"

if __name__ == "__main__":
    write_text(SCHEMA, schema_text())
