"""The choice: which types of records a device carries, and from when on, if its account sees everything. The
numbers are those of schema/sync.md, "Choosing what to carry".

A record counts until its last change, or until its own dates end, or for ever while it is open
(`record.until`). So what changes always lies in a window that began before, and time moves nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement

from tournee.kernel.actor import Actor
from tournee.kernel.errors import Invalid
from tournee.kernel.log import Record

# Characters: more than the names of all types take.
_LONGEST = 4_000
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Choice:
    """The types that are carried, all of them if None, and the day from which on records must count."""

    entities: tuple[str, ...] | None = None
    since: date | None = None

    @property
    def begins(self) -> datetime:
        return datetime.combine(self.since or date.min, time(), UTC)

    def among(self, readable: Sequence[str]) -> list[str]:
        """Return which of the types that the account can read are carried."""
        return [name for name in readable if self.entities is None or name in self.entities]

    def carries(self) -> ColumnElement[bool]:
        """Return whether a record of a chosen type lies in the window."""
        return Record.until >= self.begins

    def written(self) -> list[Any]:
        """Return it as a cursor holds it."""
        return [
            None if self.entities is None else list(self.entities),
            None if self.since is None else self.since.isoformat(),
        ]

    @staticmethod
    def of(written: Sequence[Any]) -> Choice:
        entities, since = written
        return _interned(
            None if entities is None else tuple(entities),
            None if since is None else date.fromisoformat(since),
        )


@lru_cache(1_000)
def _interned(entities: tuple[str, ...] | None, since: date | None) -> Choice:
    """Many cursors hold the same choice."""
    return Choice(entities, since)


def read_choice(query: Mapping[str, str], actor: Actor, readable: Collection[str]) -> Choice | None:
    """1. Read the choice of a request; None if it names none. Raises Invalid for what cannot be chosen."""
    named, since = query.get("entities"), query.get("since")
    if named is None and since is None:
        return None
    if not actor.sees_all:
        raise Invalid(
            "Only an account that sees the whole organisation chooses what it carries: leave this out.",
            "since" if named is None else "entities",
        )
    return Choice(
        None if named is None else _entities(named, readable), None if since is None else _day(since)
    )


def _entities(named: str, readable: Collection[str]) -> tuple[str, ...]:
    if len(named) > _LONGEST:
        raise Invalid(f"entities: may have {_LONGEST} characters.", "entities")
    names = sorted({*named.split(",")})
    unknown = [name for name in names if name not in readable]
    if unknown:
        said = (
            f"entities: must be types that you can read, with commas between them; not {unknown[0][:60]!r}."
        )
        raise Invalid(said, "entities")
    return tuple(names)


def _day(text: str) -> date:
    if _DATE.fullmatch(text):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(text)
    raise Invalid("since: must be a date such as 2026-11-29.", "since")
