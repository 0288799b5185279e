"""Impasto: photographs rendered in controlled painting styles, at print resolution, in batches."""

from importlib.metadata import version as _installed_version

__version__ = _installed_version("impasto")
