"""What a user looks at: the report, and previews while images are rendered."""

from __future__ import annotations

from typing import Literal, final

from pydantic import Field

from pipeline.config.sections import FilePath, NonNegative, Section


@final
class Report(Section):
    """The report's page."""

    viewer: Literal["auto", "none"] | FilePath = Field(
        "auto",
        union_mode="left_to_right",
        description="What shows the full image: `auto` fetches OpenSeadragon, from npm's package where there "
        "is npm, else from its project's release; where neither can be had the report shows previews. Or the "
        "path of a file of yours, or `none`.",
    )


@final
class Preview(Section):
    """Pictures of a level while it is rendered."""

    every_min: NonNegative = Field(
        5.0,
        description="Minutes between two pictures of a level that is being rendered, written to "
        "results/{artwork}/now.png; 0 writes none. The result does not depend on it.",
    )
