"""Writes planned records: creates new ones, and compares known ones and changes what differs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError

from tournee.importing.planning.plain_words import BadCell
from tournee.importing.planning.plan import Plan, Planned
from tournee.importing.planning.units import converted
from tournee.importing.planning.values import FIRST_KEPT, WITHOUT_RECORD, Problem
from tournee.importing.writing.stores import DryRun, Live, Store
from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel
from tournee.kernel.errors import Refused
from tournee.kernel.fields import camel
from tournee.kernel.inputs import UNSET
from tournee.kernel.outages import outage_of
from tournee.kernel.transaction import Transaction
from tournee.kernel.values import wire_value

_ABSENT = object()
_ELSEWHERE = "in another place of the file"
_KEPT = "existing value kept"


@dataclass
class Written:
    """The result of writing some plans: counts by (record, outcome), problems, and fields already set.

    `said` has, for each record by the hash of its id, the fields that lines of this run have set, as bits.
    The first line that sets a field wins; a later line with another value is reported.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    said: dict[int, int] = field(default_factory=dict)

    def add(self, other: Written) -> None:
        self.counts.update(other.counts)
        self.problems += other.problems
        self.said.update(other.said)


def is_of_the_database(error: BaseException) -> bool:
    """Return whether the database, and not a line, is the cause of the error, directly or indirectly."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InterfaceError | OperationalError) or outage_of(cause) is not None:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


@dataclass
class Writer:
    """Writes batches of plans, each in its own transaction."""

    kernel: Kernel
    actor: Actor
    dry_run: DryRun | None = None
    said: dict[int, int] = field(default_factory=dict)

    async def write(self, plans: Sequence[Plan]) -> Written:
        """Write everything that can be written of these plans. Refused records are found by halving."""
        if self.dry_run is not None:
            written = await self._pretend(self.dry_run, plans)
        else:
            written = await self._write_or_halve(plans)
        self.said.update(written.said)
        return written

    async def _write_or_halve(self, plans: Sequence[Plan]) -> Written:
        alone = len(plans) == 1
        try:
            return await self.kernel.transact(self.actor, lambda tx: self._attempt(tx, plans, careful=alone))
        except Exception as error:
            if is_of_the_database(error):
                raise
            # Any other error belongs to one line, and is reported.
            if alone:
                return self._given_up(plans[0], error)
        middle = len(plans) // 2
        written = await self._write_or_halve(plans[:middle])
        self.said.update(written.said)
        written.add(await self._write_or_halve(plans[middle:]))
        return written

    def _given_up(self, plan: Plan, error: Exception) -> Written:
        written = Written()
        for planned in plan.records:
            _refused(written, planned, error)
        return written

    async def _attempt(self, tx: Transaction, plans: Sequence[Plan], *, careful: bool) -> Written:
        written = Written()
        store = await Live.load(tx, plans)
        for plan in plans:
            for planned in plan.records:
                if careful:
                    await self._carefully(tx, store, written, planned)
                else:
                    await self._put(store, written, planned)
        return written

    async def _carefully(self, tx: Transaction, store: Live, written: Written, planned: Planned) -> None:
        """Write one record behind a savepoint, so that a refusal leaves the line's other records in place."""
        try:
            async with tx.savepoint():
                await self._put(store, written, planned)
        except Exception as error:
            if is_of_the_database(error):
                raise
            store.rows.pop(planned.id, None)
            _refused(written, planned, error)

    async def _pretend(self, store: DryRun, plans: Sequence[Plan]) -> Written:
        written = Written()
        async with self.kernel.database.reading(self.actor.organisation_id) as session:
            await store.look(session, plans)
        for plan in plans:
            for planned in plan.records:
                try:
                    await self._put(store, written, planned)
                except Refused as refusal:
                    _refused(written, planned, refusal)
        return written

    async def _put(self, store: Store, written: Written, planned: Planned) -> None:
        try:
            planned = _as_its_meter_counts(store, planned)
        except BadCell as problem:
            reason = f"value {problem}"
            column = planned.recipe.column("value")
            written.problems.append(
                _problem(planned, column, _shown(planned.do.value), reason, WITHOUT_RECORD)
            )
            written.counts[planned.recipe.label, "refused"] += 1
            return
        mark = hash(planned.id)
        said = written.said.get(mark) or self.said.get(mark, 0)
        row = store.row(planned.id)
        if row is None:
            await store.create(planned)
            outcome, spoken = "created", _spoken(planned)
        else:
            changed, spoken = self._differences(row, written, planned, said)
            outcome = await self._change(store, written, planned, changed) if changed else "unchanged"
        written.said[mark] = said | spoken
        if outcome != "unchanged" or not said:
            written.counts[planned.recipe.label, outcome] += 1

    def _differences(
        self, row: Any, written: Written, planned: Planned, said: int
    ) -> tuple[dict[str, Any], int]:
        """Return the fields to change, and those that the line sets. Empty fields change nothing."""
        changed: dict[str, Any] = {}
        disputed: dict[str, list[str]] = {}
        spoken = 0
        for bit, name in enumerate(planned.recipe.names):
            new, held = getattr(planned.do, name), getattr(row, name, _ABSENT)
            if new is UNSET or new is None:
                continue
            if held is _ABSENT:
                # Values that became rows of their own are not compared, but setting them twice is reported.
                held = _ELSEWHERE if said >> bit & 1 else new
            if isinstance(new, dict) and isinstance(held, dict):
                new = {**held, **new}
            if new != held and said >> bit & 1:
                disputed.setdefault(f"{_shown(new)} (first: {_shown(held)})", []).append(camel(name))
                continue
            spoken |= 1 << bit
            if new != held:
                changed[name] = new
        for value, names in disputed.items():
            columns = (column for name in names for column in planned.recipe.column(name).split(", "))
            column = ", ".join(dict.fromkeys(columns))
            reason = f"{', '.join(names)}: an earlier line has another value"
            written.problems.append(_problem(planned, column, value, reason, FIRST_KEPT))
        return changed, spoken

    async def _change(self, store: Store, written: Written, planned: Planned, changed: dict[str, Any]) -> str:
        target = planned.recipe.target
        if planned.recipe.record.existing == "keep":
            return "unchanged"
        done = "unchanged"
        if target.place is not None and changed.keys() & set(target.placing):
            place = {name: value for name in target.placing if (value := _given(planned.do, name))}
            await store.change(planned, target.place, place)
            changed = {name: value for name, value in changed.items() if name not in target.placing}
            done = "updated"
        able = {name: value for name, value in changed.items() if name in target.updatable}
        for name in changed.keys() - able.keys():
            reason = f"{camel(name)} differs from the recorded value, which an import cannot change"
            column = planned.recipe.column(camel(name))
            written.problems.append(_problem(planned, column, _shown(changed[name]), reason, _KEPT))
        if able and target.update is not None:
            await store.change(planned, target.update, able)
            done = "updated"
        return done


def _as_its_meter_counts(store: Store, planned: Planned) -> Planned:
    """Return the reading in its meter's unit; raises BadCell if it cannot be converted."""
    meter = None if planned.unit is None else store.row(planned.do.meter_id)
    if meter is None or planned.unit is None or meter.unit == planned.unit:
        return planned
    value = converted(planned.do.value, planned.unit, meter.unit)
    return dataclasses.replace(planned, do=dataclasses.replace(planned.do, value=value))


def _given(do: Any, name: str) -> Any:
    value = getattr(do, name)
    return None if value is UNSET else value


def _spoken(planned: Planned) -> int:
    held, spoken, bit = vars(planned.do), 0, 1
    for name in planned.recipe.names:
        if held[name] is not None and held[name] is not UNSET:
            spoken |= bit
        bit <<= 1
    return spoken


def _shown(value: Any) -> str:
    return str(wire_value(value))


def _problem(planned: Planned, column: str, value: str, reason: str, done: str) -> Problem:
    return Problem(planned.line, planned.recipe.label, planned.key, column, value, reason, done)


def _refused(written: Written, planned: Planned, error: Exception) -> None:
    if isinstance(error, Refused):
        field = error.field or ""
        reason = f"refused: {field}: {error.message}" if field else f"refused: {error.message}"
        column = planned.recipe.column(field)
    else:
        structlog.get_logger().exception("import_crashed", line=planned.line, exc_info=error)
        reason, column = "an error on our side; it was logged", ""
    written.problems.append(_problem(planned, column, "", reason, WITHOUT_RECORD))
    written.counts[planned.recipe.label, "refused"] += 1
