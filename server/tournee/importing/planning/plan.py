"""Plans: the records that lines yield, and the problems of the lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tournee.importing.planning.recipes import Recipe
from tournee.importing.planning.values import Problem
from tournee.kernel.entity import Entity


@dataclass(slots=True)
class Planned:
    """A record that a line describes: the input of the command that would create it. `unit` is that of a
    reading, if the file names one.
    """

    line: int
    recipe: Recipe
    id: UUID
    key: str
    do: Any
    unit: str | None = None


@dataclass(slots=True)
class Plan:
    """The records of one line or one group of lines. `needed` are the rows that they refer to or describe."""

    lines: int
    size: int = 0
    records: list[Planned] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    needed: list[tuple[type[Entity], UUID]] = field(default_factory=list)
    skipped: str | None = None
