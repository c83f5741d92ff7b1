"""What lines yield: records to write, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tournee.importing.planning.recipes import Recipe
from tournee.importing.planning.values import Problem
from tournee.kernel.entity import Entity


@dataclass(slots=True)
class Planned:
    """A record that a line speaks of: the input of the command that would create it. `unit` is that of a
    reading, where the file names one."""

    line: int
    recipe: Recipe
    id: UUID
    key: str
    do: Any
    unit: str | None = None


@dataclass(slots=True)
class Plan:
    """What one line, or one group of lines, yields. `needed` are rows it refers to or speaks of."""

    lines: int
    size: int = 0
    records: list[Planned] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    needed: list[tuple[type[Entity], UUID]] = field(default_factory=list)
    skipped: str | None = None
