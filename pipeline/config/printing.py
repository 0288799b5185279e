"""What becomes of the highest level: the print's size and its file.

Field descriptions are the documentation, as in sections.py.
"""

from __future__ import annotations

from typing import final

from pydantic import Field, model_validator

from pipeline.config.print_files import PrintFiles
from pipeline.config.sections import Length


@final
class Print(PrintFiles):
    """The print file."""

    width: Length | None = Field(
        None, description="Width with its unit, such as `20 cm` or `8000 px`; sets the levels."
    )
    height: Length | None = Field(None, description="Height with its unit, instead of `width`.")
    dpi: float = Field(300, ge=1, le=10_000, description="Pixels per inch, written into the file.")

    @model_validator(mode="after")
    def _one_side(self) -> Print:
        if self.width is not None and self.height is not None:
            raise ValueError(
                f"must give width or height, the other follows from the content; "
                f"found width {self.width} and height {self.height}"
            )
        return self
