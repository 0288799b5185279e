"""Figures against the limits that the configuration sets."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.config.quality import Limits


def missed(figures: Mapping[str, float | None], limits: Limits) -> list[str]:
    """The limits that the figures miss, each as a phrase; what was not measured misses none."""
    found = []
    for name, limit in limits.model_dump(exclude_none=True).items():
        value = figures.get(name)
        if value is None:
            continue
        least = name == "content_similarity"
        if value < limit if least else value > limit:
            found.append(f"{name} of at {'least' if least else 'most'} {limit:g}; found {value:.4g}")
    return found
