"""The numbers that people call records by, as an entity declares them."""

from __future__ import annotations

from dataclasses import dataclass

# The field's value until the commit.
UNNUMBERED = "-"


@dataclass(frozen=True)
class Numbers:
    """The numbering of one entity: the field, and the table that holds each organisation's `last` number."""

    field: str
    counter: str
    prefix: str
    first: int
