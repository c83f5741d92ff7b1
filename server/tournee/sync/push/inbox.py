"""Entries of the conflict inbox for work that had no effect: nothing that a device did vanishes unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import orjson
from sqlalchemy import select

from tournee.auth.models import Device
from tournee.auth.roles import Role
from tournee.kernel.conflict import Conflict, ConflictKind, ConflictStatus
from tournee.kernel.entity import new_id, now
from tournee.kernel.errors import Unfinished
from tournee.kernel.operation import Operation
from tournee.kernel.transaction import Transaction
from tournee.sync.messages import Outcome, PushedOperation
from tournee.sync.models import ParkedOperation
from tournee.sync.push.batch import Batch
from tournee.sync.waiting.dependents import followers
from tournee.sync.waiting.given_up import give_up, id_in
from tournee.sync.waiting.parking import operations

_COMMAND = "pushOperations"
# An input of more than this is told by its beginning; the device still holds it.
_LONGEST = 100_000
_SHORT = 10_000


async def tell(batch: Batch) -> None:
    """One entry for each unit that was refused or that crashed twice."""
    await _remind(batch)
    waiting = followers(batch)
    fresh = [one for one in waiting if one.operation_id in batch.to_park]
    if not (batch.refused or batch.quarantined or fresh or batch.lost or batch.of_no_use):
        return
    operation = Operation(_COMMAND, now(), device_id=batch.device.device_id)
    async with batch.tx.running(operation):
        for refused in batch.refused:
            entry = await batch.tx.add(_refused(batch, refused))
            for _, outcome in refused:
                outcome.conflict = str(entry.id)
        await show(
            batch.tx,
            Sender(batch.device.device_id, batch.tx.actor.id, Role.DISPATCHER),
            batch.of_no_use,
            batch.schema,
        )
        refused_for_good = {id_in(one.input) for unit in batch.refused for one, _ in unit}
        await give_up(batch.tx, (refused_for_good & batch.will_not_come) | batch.lost)
        await _name_followers(batch, fresh)
        for unit in batch.quarantined:
            await _quarantine(batch, unit, waiting)


async def _quarantine(
    batch: Batch, unit: Sequence[PushedOperation], waiting: Iterable[ParkedOperation]
) -> None:
    ids = {operation.id for operation in unit}
    behind = [_named(one) for one in waiting if one.waits_for in ids]
    why = {"code": Unfinished.code} | ({"waiting": behind} if behind else {})
    entry = await batch.tx.add(_entry(batch, unit, ConflictKind.OPERATION_QUARANTINED, Role.MANAGER, why))
    for id in ids:
        batch.outcomes[id].conflict = str(entry.id)


async def _name_followers(batch: Batch, fresh: Sequence[ParkedOperation]) -> None:
    """The entry of what is in quarantine says what waits for its decision."""
    if not any(one.waits_for in batch.parked for one in fresh):
        return
    entries = await batch.tx.all(
        select(Conflict).where(
            Conflict.record_id == batch.device.device_id,
            Conflict.kind == ConflictKind.OPERATION_QUARANTINED,
            Conflict.status == ConflictStatus.OPEN,
        )
    )
    for entry in entries:
        before = entry.theirs.get("waiting", [])
        more = [_named(one) for one in fresh if str(one.waits_for) in entry.operation_ids]
        if more:
            entry.theirs = entry.theirs | {"waiting": [one for one in before if one not in more] + more}


def _named(parked: ParkedOperation) -> dict[str, Any]:
    (operation,) = operations([parked])
    return {"id": str(operation.id), "number": operation.number, "command": named(operation.command)}


async def _remind(batch: Batch) -> None:
    """Of what was in quarantine and was sent again: the entry that it is in."""
    told = batch.outcomes
    again = [
        id
        for id, one in batch.parked.items()
        if one.reason == "QUARANTINED" and id in told and told[id].status == "parked"
    ]
    if not again:
        return
    with batch.tx.session.no_autoflush:
        entries = await batch.tx.session.execute(
            select(Conflict.id, Conflict.operation_ids).where(
                Conflict.organisation_id == batch.device.organisation_id,
                Conflict.record_id == batch.device.device_id,
                Conflict.kind == ConflictKind.OPERATION_QUARANTINED,
            )
        )
    named = {UUID(operation): str(id) for id, operations in entries for operation in operations}
    for id in again:
        batch.outcomes[id].conflict = named.get(id)


def _refused(batch: Batch, refused: Sequence[tuple[PushedOperation, Outcome]]) -> Conflict:
    """What the culprit of the unit was told."""
    told = next((one for _, one in refused if one.code != "UNIT_REFUSED"), refused[0][1])
    why = {"code": told.code, "message": told.message, "fields": told.fields}
    unit = [operation for operation, _ in refused]
    return _entry(batch, unit, ConflictKind.OPERATION_REJECTED, Role.DISPATCHER, why)


def _entry(
    batch: Batch, unit: Sequence[PushedOperation], kind: ConflictKind, role: Role, theirs: dict[str, Any]
) -> Conflict:
    first = unit[0]
    return Conflict(
        id=new_id(),
        kind=kind,
        role=role,
        entity=Device.__name__,
        record_id=batch.device.device_id,
        command=named(first.command),
        operation_id=first.id,
        operation_ids=[str(operation.id) for operation in unit],
        actor_id=batch.tx.actor.id,
        device_id=batch.device.device_id,
        occurred_at=first.occurred_at,
        base={},
        mine=shown_unit(unit),
        theirs=_clean(theirs),
    )


@dataclass(frozen=True)
class Sender:
    """Whose device forgets what it sent, and who is to see it."""

    device_id: UUID
    account_id: UUID
    role: Role


async def show(tx: Transaction, sender: Sender, rejected: Iterable[tuple[Any, Outcome]], schema: int) -> None:
    """Enter what nobody can carry out as it was sent, and name the entry in its outcome."""
    entries: dict[UUID, Conflict] = {}
    for sent, outcome in rejected:
        entry = _of_no_use(sender, sent, outcome, schema)
        entries[entry.id] = entry
        outcome.conflict = str(entry.id)
    if not entries:
        return
    with tx.session.no_autoflush:
        known = await tx.session.scalars(
            select(Conflict.id).where(
                Conflict.organisation_id == tx.organisation_id, Conflict.id.in_(entries)
            )
        )
    for id in entries.keys() - set(known):
        await tx.add(entries[id])


def _of_no_use(sender: Sender, sent: Any, outcome: Outcome, schema: int) -> Conflict:
    """Sent again it is the same entry."""
    try:
        text, whole = orjson.dumps(sent, option=orjson.OPT_SORT_KEYS), isinstance(sent, dict)
    except orjson.JSONEncodeError:
        text, whole = b"It was nested too deeply to be shown.", False
    made = id_in(sent.get("input")) if isinstance(sent, dict) else None
    short = {"content": text[:_SHORT].decode("utf-8", "ignore")} | _makes(made)
    shown: dict[str, Any] = sent if whole and len(text) <= _LONGEST else short
    command = shown.get("command")
    return Conflict(
        id=uuid5(sender.device_id, hashlib.sha256(text).hexdigest()),
        kind=ConflictKind.OPERATION_REJECTED,
        role=sender.role,
        entity=Device.__name__,
        record_id=sender.device_id,
        command=named(command if isinstance(command, str) else ""),
        actor_id=sender.account_id,
        device_id=sender.device_id,
        occurred_at=now(),
        base={},
        mine={"operations": [_clean(shown)], "schema": schema, "final": True},
        theirs={"code": outcome.code, "message": outcome.message, "fields": outcome.fields},
    )


def named(command: str) -> str:
    """A command as every place that keeps it can write it."""
    return _clean(command).strip()[:80] or "(none)"


def shown_unit(unit: Sequence[PushedOperation]) -> dict[str, Any]:
    """What somebody is shown of the operations of a unit."""
    mine = {"operations": [_shown(operation) for operation in unit], "schema": unit[0].schema}
    unknown = [str(operation.id) for operation in unit if operation.base_unknown]
    return mine | ({"baseUnknown": unknown} if unknown else {})


def _shown(operation: PushedOperation) -> dict[str, Any]:
    """The operation as it was sent, as far as every place that keeps it can write it again."""
    if len(orjson.dumps(operation.raw)) > _LONGEST:
        told = {"id": str(operation.id), "number": operation.number, "command": operation.command}
        told |= _makes(id_in(operation.input))
    else:
        told = operation.raw
    shown: dict[str, Any] = _clean(told)
    return shown


def _makes(record: UUID | None) -> dict[str, str]:
    """Of an operation that is too large to be shown, what others may wait for."""
    return {} if record is None else {"makes": str(record)}


def shown_to_make(shown: Mapping[str, Any]) -> UUID | None:
    """The record that an operation makes, as an entry of the inbox tells it."""
    return id_in(shown.get("input")) or id_in({"id": shown.get("makes")})


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, dict):
        return {_clean(name): _clean(one) for name, one in value.items()}
    return [_clean(one) for one in value] if isinstance(value, list) else value
