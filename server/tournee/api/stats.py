"""`appointmentStats` and its like: rows counted and added up by groups, each by one statement."""

from __future__ import annotations

import enum
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

import strawberry
from sqlalchemy import Select, and_, func, select
from strawberry.types.field import StrawberryField

from tournee.api.connections import add_fields, object_type
from tournee.api.context import Info
from tournee.api.errors import LimitExceeded, Rejected
from tournee.api.filters import filter_type, where
from tournee.api.groups import Group, Measure, Through, compared, groups, has_stats, numbers, times
from tournee.api.load import Viewing
from tournee.api.mapping import argument, make_field
from tournee.api.nodes import singular
from tournee.api.relations import Viewer, relations, require_readable
from tournee.api.scalars import Long, graphql_type, optional
from tournee.kernel.buckets import TIME_ZONES, TimeUnit, bucket
from tournee.kernel.entity import Entity
from tournee.kernel.fields import Field
from tournee.kernel.ranks import is_enumeration, ranked
from tournee.kernel.sentences import sentences
from tournee.kernel.statistics import exact

MOST_GROUPS = 1_000
MOST_KEYS = 4

# The parts of a group, and their descriptions.
_PARTS: Mapping[str, str] = {
    "sum": "The sums over the rows of the group; null where no row has a value.",
    "avg": "The means over the rows that have a value; null where no row has one.",
    "min": "The smallest or earliest values; null where no row has one.",
    "max": "The largest or latest values; null where no row has one.",
}


@dataclass(frozen=True)
class _Question:
    """What is asked of a model's rows: the groups, and for each part the fields that are selected."""

    model: type[Entity]
    keys: tuple[Group | TimeUnit, ...]
    time: Field
    zone: str
    parts: Mapping[str, Sequence[Measure]]
    filter: Mapping[str, Any] | None
    # The names of all groups in a key.
    known: tuple[str, ...]

    def statement(self, viewer: Viewer) -> Select[Any]:
        """Return the statement: for each group its key, its number of rows, and what is selected of it."""
        rows = self._rows(viewer).subquery()
        keys = [rows.c[f"key_{place}"] for place in range(len(self.keys))]
        values = [
            made for part, measures in self.parts.items() for one in measures for made in _of(part, one, rows)
        ]
        order = [self._sorted(key, column) for key, column in zip(self.keys, keys, strict=True)]
        return select(*keys, func.count(), *values).group_by(*keys).order_by(*order)

    def _rows(self, viewer: Viewer) -> Select[Any]:
        entity: Any = self.model
        keys = [self._key(key, viewer) for key in self.keys]
        columns = [column.label(f"key_{place}") for place, (column, _) in enumerate(keys)]
        used = {one.wire: one for measures in self.parts.values() for one in measures}
        columns += [one.of(entity).label(name) for name, one in used.items()]
        rows = select(entity.id, *columns).select_from(entity)
        for _, joined in keys:
            rows = rows if joined is None else rows.outerjoin(*joined)
        return rows.where(viewer.visible(self.model, entity), where(self.model, entity, self.filter, viewer))

    def _key(self, key: Group | TimeUnit, viewer: Viewer) -> tuple[Any, tuple[Any, Any] | None]:
        """Return the column of a key, and the table that it is joined from with the condition."""
        entity: Any = self.model
        if isinstance(key, TimeUnit):
            require_readable(viewer, self.model, self.time.wire)
            return bucket(key, getattr(entity, self.time.name), self.zone), None
        require_readable(viewer, self.model, key.field)
        if key.through is None:
            return getattr(entity, key.column), None
        relation = relations(self.model)[key.through.relation]
        related = viewer.alias(relation.target)
        seen = viewer.visible(relation.target, related)
        on = and_(relation.named(entity, related), seen, key.through.counted(related))
        return getattr(related, key.column), (related, on)

    def _sorted(self, key: Group | TimeUnit, column: Any) -> Any:
        kind: Any = None if isinstance(key, TimeUnit) else key.kind
        own = ranked(column, kind) if is_enumeration(kind) else column
        return own.asc().nulls_last()

    def read(self, row: Sequence[Any]) -> SimpleNamespace:
        """Return a group as its GraphQL type reads it."""
        values = iter(row)
        key = {one.lower() if isinstance(one, TimeUnit) else one.wire: next(values) for one in self.keys}
        count = next(values)
        parts = {
            part: SimpleNamespace(**{one.wire: _value(part, one, values) for one in measures})
            for part, measures in self.parts.items()
        }
        nothing = dict.fromkeys((*self.known, *map(str.lower, TimeUnit)))
        return SimpleNamespace(key=SimpleNamespace(**nothing | key), count=count, **parts)


def _of(part: str, measure: Measure, rows: Any) -> list[Any]:
    """Return the SQL of one value."""
    column = rows.c[measure.wire]
    if part in ("min", "max"):
        return [getattr(func, part)(column)]
    total = func.sum(exact(column) if measure.kind is float else column)
    return [total] if part == "sum" else [total, func.count(column)]


def _value(part: str, measure: Measure, values: Iterator[Any]) -> Any:
    found = next(values)
    if part in ("min", "max"):
        return found
    if part == "avg":
        number = next(values)
        found = None if found is None else float(found) / number
    elif found is not None:
        found = float(found) if measure.kind is float else int(found)
    # JSON has no infinity and no NaN.
    return None if isinstance(found, float) and not math.isfinite(found) else found


def stats_fields(
    entities: Iterable[type[Entity]], throughs: tuple[Through, ...]
) -> Iterator[StrawberryField]:
    """Return `appointmentStats(…)` for each entity that has something to count by or to add up."""
    for entity in entities:
        if has_stats(entity):
            yield _stats_field(entity, tuple(groups(entity, throughs)))


def _stats_field(entity: type[Entity], known: tuple[Group, ...]) -> StrawberryField:
    name = entity.__name__
    grouping = _enumeration(
        f"{name}Group",
        f"What `{singular(name)}Stats` can group by.",
        {one.name: one.description for one in known} | {unit.name: _UNITS[unit] for unit in TimeUnit},
    )
    timing = _enumeration(
        f"{name}Time",
        "Which time to group by hour, day, week, month or year.",
        {one.name.upper(): one.description for one in times(entity)},
    )
    first_time = times(entity)[0].name.upper()
    return make_field(
        f"{singular(name)}Stats",
        list[_stats_type(entity, known)],  # type: ignore[misc]
        entity.reads,
        resolver=_resolver(entity, {one.name: one for one in known}),
        arguments=[
            argument("filter", optional(filter_type(entity)), "Count only rows that meet these conditions."),
            argument(
                "groupBy",
                optional(list[grouping]),  # type: ignore[valid-type]
                f"What to group by, at most {MOST_KEYS} keys; by default all rows form one group.",
            ),
            argument("time", optional(timing), _TIME.format(first_time)),
            argument(
                "timeZone",
                optional(str),
                "The time zone in which days begin, such as `Europe/Berlin`; UTC by default.",
            ),
            argument(
                "first",
                optional(int),
                f"How many groups to return, in the order of their keys; at most {MOST_GROUPS}. Without it,"
                " the answer has all groups, and more than that are refused.",
            ),
        ],
        description="The records of this type that you may see, counted and added up in groups.",
    )


_TIME = "The time that the keys `HOUR` to `YEAR` are taken from; `{}` by default."

_UNITS = {
    TimeUnit[name]: f"{text[0].upper()}{text[1:]}" for name, text in sentences(TimeUnit).items() if text
}

_DAYS = {
    TimeUnit.DAY: "The day.",
    TimeUnit.WEEK: "The Monday of the week.",
    TimeUnit.MONTH: "The first day of the month.",
    TimeUnit.YEAR: "The first day of the year.",
}


def _enumeration(name: str, description: str, values: Mapping[str, str | None]) -> type[enum.Enum]:
    make: Any = enum.StrEnum
    made = make(name, {value: value for value in values})
    strawberry.enum(made, description=description)
    for value in made.__strawberry_definition__.values:
        value.description = values[value.name]
    return made  # type: ignore[no-any-return]


def _stats_type(entity: type[Entity], known: tuple[Group, ...]) -> type[Any]:
    name = entity.__name__
    made = object_type(f"{name}Stats", "A group of rows: its count, sums, means and extremes.")
    key = object_type(
        f"{name}Key", "The values that the rows of a group share; null for keys that were not asked for."
    )
    shown = [(one.wire, one.kind, one.description) for one in known]
    shown += [(unit.lower(), date, text) for unit, text in _DAYS.items()]
    shown.append(("hour", datetime, "When the hour begins."))
    for wire, kind, text in shown:
        add_fields(key, make_field(wire, optional(kind), entity.reads, description=text))
    add_fields(
        made,
        make_field("key", key, entity.reads, description="The values that the rows share."),
        make_field("count", int, entity.reads, description="The number of rows."),
    )
    sums, means = (
        _part_type(entity, "Sums", numbers(entity)),
        _part_type(entity, "Means", numbers(entity), float),
    )
    extremes = _part_type(entity, "Extremes", compared(entity))
    for part, own in (("sum", sums), ("avg", means), ("min", extremes), ("max", extremes)):
        if _measures(entity, part):
            add_fields(made, make_field(part, own, entity.reads, description=_PARTS[part]))
    return made


def _measures(entity: type[Entity], part: str) -> list[Measure]:
    return numbers(entity) if part in ("sum", "avg") else compared(entity)


def _part_type(entity: type[Entity], suffix: str, measures: list[Measure], kind: Any = None) -> type[Any]:
    made = object_type(
        f"{entity.__name__}{suffix}", "One value for each field that can be added up or compared."
    )
    for one in measures:
        shown = kind or (Long if one.kind is int else graphql_type(one.kind))
        permission = one.permission or entity.reads
        add_fields(made, make_field(one.wire, optional(shown), permission, description=one.description))
    return made


def _resolver(
    entity: type[Entity], known: Mapping[str, Group]
) -> Callable[..., Awaitable[list[SimpleNamespace]]]:
    async def resolve(info: Info, **given: Any) -> list[SimpleNamespace]:
        first = given.get("first")
        if first is not None and not 0 <= first <= MOST_GROUPS:
            raise LimitExceeded(f"`first` must be between 0 and {MOST_GROUPS}.")
        asked = _asked(entity, known, given, _selected(entity, info))
        limit = MOST_GROUPS + 1 if first is None else first
        viewer = Viewing(info.context.actor)
        rows = await info.context.load.values(asked.statement(viewer), limit)
        if len(rows) > MOST_GROUPS:
            raise LimitExceeded(f"There are more than {MOST_GROUPS} groups: filter the rows, or set `first`.")
        return [asked.read(row) for row in rows]

    return resolve


def _asked(
    entity: type[Entity], known: Mapping[str, Group], given: Mapping[str, Any], parts: Mapping[str, Any]
) -> _Question:
    names = list(dict.fromkeys(one.value for one in given.get("groupBy") or ()))
    if len(names) > MOST_KEYS:
        raise LimitExceeded(f"`groupBy` takes at most {MOST_KEYS} keys.")
    zone = given.get("timeZone") or "UTC"
    if zone not in TIME_ZONES:
        raise Rejected("`timeZone` must be the name of a time zone, such as Europe/Berlin.")
    time = given.get("time")
    own = times(entity)
    cut = own[0] if time is None else next(one for one in own if one.name.upper() == time.value)
    keys = tuple(known[name] if name in known else TimeUnit(name) for name in names)
    wires = tuple(one.wire for one in known.values())
    return _Question(entity, keys, cut, zone, parts, given.get("filter"), wires)


def _selected(entity: type[Entity], info: Info) -> dict[str, list[Measure]]:
    """Return for each part the fields that the operation selects."""
    found: dict[str, set[str]] = {}
    for field in info.selected_fields:
        for part, inner in _below(field):
            if part in _PARTS:
                found.setdefault(part, set()).update(name for name, _ in _below(inner))
    return {
        part: [one for one in _measures(entity, part) if one.wire in names] for part, names in found.items()
    }


def _below(selected: Any) -> Iterator[tuple[str, Any]]:
    """Return the fields selected within another, those of fragments included."""
    for one in selected.selections:
        if hasattr(one, "alias"):
            yield one.name, one
        else:
            yield from _below(one)
