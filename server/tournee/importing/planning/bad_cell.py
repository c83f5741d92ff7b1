"""The one way in which a value can be wrong."""

from __future__ import annotations


class BadCell(ValueError):
    """What is wrong with a value."""
