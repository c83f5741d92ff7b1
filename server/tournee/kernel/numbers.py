"""Numbers that people call records by, as an entity declares them."""

from __future__ import annotations

from dataclasses import dataclass

# What stands in the field until the commit.
UNNUMBERED = "-"


@dataclass(frozen=True)
class Numbers:
    """Of one entity: the field that holds them, and the table that holds each organisation's `last`."""

    field: str
    counter: str
    prefix: str
    first: int
