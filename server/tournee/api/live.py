"""Live lists: how the changes of the log change a filtered list. `appointmentChanges(filter:, since:)`.

Each change of a record is one event or none, and which one follows from the log alone: whether the record was
in the list before the change, and whether it is after it. So the events are the same on every process and
after every reconnect.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import orjson
import strawberry
from sqlalchemy import Integer, column, select, values
from strawberry.types.field import StrawberryField

from tournee.api.connections import add_fields, object_type
from tournee.api.context import Context, Info
from tournee.api.errors import Rejected
from tournee.api.filters import filter_type, where
from tournee.api.load import Viewing
from tournee.api.mapping import argument, make_field
from tournee.api.nodes import Nodes, singular
from tournee.api.scalars import Long, enumeration, optional
from tournee.api.subscriptions import pages, sent
from tournee.kernel.entity import Entity
from tournee.kernel.fields import Field, fields
from tournee.kernel.log import Change
from tournee.sync.pull.cursor import Cursor
from tournee.sync.pull.logged import Seen
from tournee.sync.pull.position import write_position

# States of records compared in one statement.
_PORTION = 200

State = Mapping[str, Any]


class ListChangeKind(StrEnum):
    """How a change of a record changes a filtered list."""

    ENTERED = "ENTERED"
    """The record is in the list now, and was not before."""
    CHANGED = "CHANGED"
    """The record changed, and is still in the list."""
    LEFT = "LEFT"
    """The record left the list: it was deleted, no longer meets the filter, or you may no longer see it."""


@dataclass(frozen=True)
class ListChange:
    """One event of a live list."""

    kind: ListChangeKind
    record_id: UUID
    seq: int
    place: Cursor


def live_fields(nodes: Nodes) -> Iterable[StrawberryField]:
    """Return `appointmentChanges(filter:, since:)` for each entity."""
    for entity in nodes.entities:
        yield make_field(
            f"{singular(entity.__name__)}Changes",
            AsyncIterator[_event_type(entity, nodes)],  # type: ignore[misc]
            entity.reads,
            resolver=_live(entity),
            arguments=[
                argument(
                    "filter",
                    optional(filter_type(entity)),
                    "Which records are in the list; only by the record's own fields, not through relations.",
                ),
                argument("since", optional(str), "The cursor of the last event you have; null starts now."),
            ],
            description=(
                "Which records enter a filtered list, change in it and leave it, as it happens. Subscribe"
                " first, then query the list, and apply the events to it. An account that does not see the"
                " whole organisation gets `CHANGED` for every changed record that is in the list now, also"
                " for one that has just entered it, and `LEFT` for every other changed record, even if it"
                " was never in the list."
            ),
            is_subscription=True,
        )


def _event_type(entity: type[Entity], nodes: Nodes) -> Any:
    kind = object_type(f"{entity.__name__}ListChange", "One event of a live list.", rows=ListChange)
    made: list[tuple[str, Any, str, Any, str]] = [
        ("kind", enumeration(ListChangeKind), "kind", None, "Whether the record entered, changed or left."),
        ("recordId", strawberry.ID, "record_id", None, "The record's id."),
        ("seq", Long, "seq", None, "The number of the change in the organisation's log."),
        ("cursor", str, "cursor", _cursor, "Subscribe with this as `since` to get what came after."),
        (
            "node",
            optional(nodes.types[entity]),
            "node",
            _node(entity),
            "The record as it is now; null if it left the list, or if you may no longer see it.",
        ),
    ]
    for name, annotation, attribute, resolver, description in made:
        add_fields(
            kind,
            make_field(
                name,
                annotation,
                entity.reads,
                python_name=attribute,
                resolver=resolver,
                description=description,
            ),
        )
    return kind


def _cursor(root: Any) -> str:
    return write_position(root.place)


def _node(entity: type[Entity]) -> Callable[..., Any]:
    async def resolve(root: Any, info: Info) -> Any:
        if root.kind is ListChangeKind.LEFT:
            return None
        return await info.context.load.one(entity, root.record_id)

    return resolve


def _live(entity: type[Entity]) -> Callable[..., AsyncIterator[Any]]:
    async def resolve(info: Info, **given: Any) -> AsyncIterator[Any]:
        live = Live(entity, info.context, given.get("filter") or {})
        async with aclosing(pages(info.context, given.get("since"))) as found:
            async for page in found:
                events = await live.events(page)
                async for event in sent(info.context, events):
                    yield event

    return resolve


class Live:
    """A filtered list of one entity, as one person sees it."""

    def __init__(self, entity: type[Entity], context: Context, given: Mapping[str, Any]) -> None:
        self._entity = entity
        self._context = context
        self._filter = given
        self._viewer = Viewing(context.actor)
        own = {field.wire: field for field in fields(entity)}
        named = set(_named_in(given))
        if strange := named - own.keys():
            raise Rejected(f"A live list is filtered by the record's own fields only: remove {min(strange)}.")
        self._fields = [own[name] for name in sorted(named)]
        # Refuses a filter that is too large, or names what the person may not read, before the first event.
        where(entity, entity, given, self._viewer)

    async def events(self, page: Sequence[Seen]) -> list[ListChange]:
        """Return the events of a page of the log, in order."""
        changes = [one for one in page if one.entity == self._entity.__name__]
        if not self._context.actor.sees_all:
            return await self._of_part(changes)
        later = await self._undone_later(changes, page[-1].seq) if changes else {}
        both = [state for pair in _states(changes, later) for state in pair]
        holds = await self._hold(both)
        found = []
        for place, change in enumerate(changes):
            was, is_in = holds[2 * place], holds[2 * place + 1]
            if was or is_in:
                kind = ListChangeKind.LEFT if not is_in else ListChangeKind.CHANGED
                kind = ListChangeKind.ENTERED if not was else kind
                found.append(ListChange(kind, change.id, change.seq, change.place))
        return found

    async def _of_part(self, changes: Sequence[Seen]) -> list[ListChange]:
        """Return the events for a person who may not read the log, and knows only the present states."""
        states = [None if one.document is None else orjson.loads(one.document) for one in changes]
        return [
            ListChange(ListChangeKind.CHANGED if is_in else ListChangeKind.LEFT, one.id, one.seq, one.place)
            for one, is_in in zip(changes, await self._hold(states), strict=True)
        ]

    async def _undone_later(self, changes: Sequence[Seen], end: int) -> dict[UUID, State]:
        """Return the states, at the end of the page, of records that changed again before it was read."""
        last = {one.id: one for one in changes}
        if not any(one.as_of > end for one in last.values()):
            return {}
        wanted = select(Change.id, Change.seq, Change.before).where(Change.id.in_(last), Change.seq > end)
        states: dict[UUID, State] = {}
        async with self._context.kernel.database.reading(self._context.actor.organisation_id) as session:
            for id, seq, before in await session.execute(wanted.order_by(Change.seq.desc())):
                one = last[id]
                if seq <= one.as_of:
                    state = states.get(id) or _present(one)
                    states[id] = {**state, **orjson.loads(before or "{}")}
        return states

    async def _hold(self, states: Sequence[State | None]) -> list[bool]:
        """Return for each state whether it passes the filter. The database decides, so that a filter means
        the same as in a list.
        """
        there = [place for place, state in enumerate(states) if state is not None]
        if self._fields:
            found: set[int] = set()
            for start in range(0, len(there), _PORTION):
                found |= await self._matching(states, there[start : start + _PORTION])
        else:
            found = set(there)
        return [place in found for place in range(len(states))]

    async def _matching(self, states: Sequence[State | None], places: Collection[int]) -> set[int]:
        table: Any = self._entity.__table__
        columns = [column(field.name, table.c[field.name].type) for field in self._fields]
        data = [
            (place, *(_read(field, (states[place] or {}).get(field.wire)) for field in self._fields))
            for place in places
        ]
        rows = values(column("place", Integer), *columns, name="state").data(data).cte("state")
        wanted = select(rows.c.place).where(self._holds(rows.c))
        async with self._context.kernel.database.reading(self._context.actor.organisation_id) as session:
            return set(await session.scalars(wanted))

    def _holds(self, columns: Any) -> Any:
        return where(self._entity, columns, self._filter, self._viewer)


def _states(changes: Sequence[Seen], later: dict[UUID, State]) -> list[tuple[State | None, State | None]]:
    """Return each change's record before and after it. `later` has the states, at the end of the page, of
    records that changed again before the page was read.
    """
    found: list[tuple[State | None, State | None]] = []
    for change in reversed(changes):
        after = later.get(change.id)
        if after is None:
            after = _present(change)
        before = None if change.before is None else {**after, **orjson.loads(change.before)}
        later[change.id] = before or {}
        found.append((_alive(before), _alive(after)))
    return found[::-1]


def _present(change: Seen) -> State:
    return {**orjson.loads(change.last or "{}"), "deleted": change.document is None}


def _named_in(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fields that a filter names, at any depth."""
    for name, value in given.items():
        if name in ("and", "or", "not"):
            for one in value if isinstance(value, list) else [value]:
                yield from _named_in(one or {})
        else:
            yield name


def _alive(state: State | None) -> State | None:
    return None if state is None or state.get("deleted") else state


def _read(field: Field, value: Any) -> Any:
    """Return a value of a document as the column has it."""
    if value is None:
        return None
    for kind, reading in _READ:
        if isinstance(field.type, type) and issubclass(field.type, kind):
            return reading(field.type, value)
    return value


_READ: tuple[tuple[type[Any], Callable[[Any, Any], Any]], ...] = (
    (UUID, lambda _kind, value: UUID(value)),
    (datetime, lambda _kind, value: datetime.fromisoformat(value)),
    (date, lambda _kind, value: date.fromisoformat(value)),
    (Enum, lambda kind, value: kind(value)),
)
