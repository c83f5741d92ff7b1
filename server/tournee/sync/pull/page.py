"""A page of a pull: the changes as the text that goes out, made by the database where it can."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Select, Text, Uuid, cast, func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from tournee.engine.statements import OrganisationSession
from tournee.kernel.actor import Actor
from tournee.kernel.withheld import shown
from tournee.sync.pull.cursor import MAX_ID, Cursor

Rows = Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class PulledChange:
    """One row as the person sees it now: its document, or None if it was removed."""

    seq: int
    entity: str
    id: UUID
    document: str | None

    def shown_to(self, actor: Actor) -> PulledChange:
        if self.document is None:
            return self
        return replace(self, document=shown(actor, self.entity, self.document))

    def json(self) -> str:
        head = f'{{"seq":{self.seq},"entity":"{self.entity}","id":"{self.id}",'
        return head + ('"removed":true}' if self.document is None else f'"record":{self.document}}}')


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of a snapshot was sent: `done` of `total` rows."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Page:
    """4. Changes in order, the cursor after them, and whether there are more."""

    text: str
    cursor: Cursor
    more: bool
    progress: Progress | None = None

    @property
    def changes(self) -> Sequence[PulledChange]:
        """The same as values, for readers within the server."""
        return [_read(change) for change in orjson.loads(f"[{self.text}]")]

    @property
    def checkpoint(self) -> int | None:
        """The seq as of which a device that stores this page has all its rows; None if there is none.

        In the middle of the feed there is none: a row comes at its last position, while earlier ones were
        skipped.
        """
        return self.cursor.seq if self.cursor.snapshot or self.cursor.id == MAX_ID else None

    def shown_to(self, actor: Actor) -> Page:
        """Return the same page, with what the actor may read of each record."""
        return replace(self, text=text_of(change.shown_to(actor) for change in self.changes))

    def body(self, cursor: str) -> str:
        """Return the page as answers and events carry it."""
        progress = self.progress
        told = "" if progress is None else f',"progress":{{"done":{progress.done},"total":{progress.total}}}'
        more = "true" if self.more else "false"
        checkpoint = self.checkpoint
        mark = self.cursor.mark
        stands = (
            "null" if checkpoint is None else f'{checkpoint},"mark":"{mark}"' if mark else f"{checkpoint}"
        )
        return (
            f'{{"changes":[{self.text}],"cursor":"{cursor}",'
            f'"checkpoint":{stands},'
            f'"more":{more},"resync":false{told}}}'
        )


def _read(change: dict[str, Any]) -> PulledChange:
    record = change.get("record")
    document = None if record is None else orjson.dumps(record).decode()
    return PulledChange(change["seq"], change["entity"], UUID(change["id"]), document)


def text_of(changes: Iterable[PulledChange]) -> str:
    return ",".join([change.json() for change in changes])


@dataclass(frozen=True, slots=True)
class Written:
    """Rows written out: their number, whether there are more, and the place of the last one."""

    text: str
    count: int
    more: bool
    seq: int | None
    id: UUID | None
    scope: UUID | None = None

    def place(self) -> tuple[int, UUID]:
        """Return the place of the last row; known only if there are more."""
        assert self.seq is not None
        assert self.id is not None
        return self.seq, self.id


async def write(session: OrganisationSession, rows: Rows, limit: int) -> Written | None:
    """Write the first `limit` of these rows (seq, entity, id, document); None if there are none.

    They are in order, and one more than the limit if there are more. PostgreSQL writes the text: one value
    returns instead of one for each column of each row.
    """
    if session.statements.in_process:
        return _written((await session.execute(rows)).all(), limit)
    row = (await session.execute(_aggregated(rows.subquery("ordered"), limit))).one()
    text, count, seq, id = row
    return Written(text, min(count, limit), count > limit, seq, id) if count else None


async def write_placed(session: OrganisationSession, place: Any, rows: Rows, limit: int) -> Written | None:
    """Write rows whose places are known before the rows.

    `place` (n, id, scope) numbers them from one, one more than the limit if there are more. `rows` (seq,
    entity, id, document, n) are those to be sent. So only places are sorted, joined and skipped: carrying
    documents through all that takes longer than writing them.
    """
    last = select(place.c.id, place.c.scope).where(place.c.n == limit)
    if session.statements.in_process:
        found = int((await session.execute(select(func.count()).select_from(place))).scalar_one())
        id, scope = (await session.execute(last)).one_or_none() or (None, None)
        sent = (await session.execute(rows.where(place.c.n <= limit).order_by(place.c.n))).all()
        text, count = text_of(PulledChange(*row[:4]) for row in sent), len(sent)
    else:
        made = rows.where(place.c.n <= limit).subquery("sent").c
        told = await session.execute(
            select(
                func.string_agg(_json(made), aggregate_order_by(literal(",", Text), made.n)),
                func.count(made.n),
                select(func.count()).select_from(place).scalar_subquery(),
                *(
                    select(column).where(place.c.n == limit).scalar_subquery()
                    for column in (place.c.id, place.c.scope)
                ),
            )
        )
        text, count, found, id, scope = told.one()
    return Written(text or "", count, found > limit, None, id, scope) if found else None


def _json(made: Any) -> Any:
    """Return a row as `PulledChange.json` writes it."""
    head = '{"seq":' + cast(made.seq, Text) + ',"entity":"' + made.entity + '","id":"' + cast(made.id, Text)
    return head + func.coalesce('","record":' + made.document + "}", '","removed":true}')


def _aggregated(ordered: Any, limit: int) -> Rows:
    page = select(ordered, func.row_number().over().label("n")).subquery("page")
    made = page.c
    last = made.n == limit
    return select(
        func.string_agg(_json(made), literal(",", Text)).filter(made.n <= limit),
        func.count(),
        func.max(made.seq).filter(last),
        cast(func.max(cast(made.id, Text)).filter(last), Uuid),
    )


def _written(rows: Sequence[Any], limit: int) -> Written | None:
    if not rows:
        return None
    kept = rows[:limit]
    last = kept[-1]
    text = text_of(PulledChange(*row) for row in kept)
    return Written(text, len(kept), len(rows) > limit, last[0], last[2])
