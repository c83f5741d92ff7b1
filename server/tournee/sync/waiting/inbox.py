"""Conflicts for work that had no effect, so that nothing a device did vanishes unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import orjson
from sqlalchemy import select

from tournee.auth.models import Device
from tournee.auth.roles import Role
from tournee.kernel.conflict import Conflict, ConflictKind, ConflictStatus
from tournee.kernel.entity import new_id, now
from tournee.kernel.errors import OperationReused, Unfinished, UnitRefused
from tournee.kernel.operation import Operation
from tournee.kernel.transaction import Transaction
from tournee.sync.conflicts import OPERATION_QUARANTINED, OPERATION_REJECTED
from tournee.sync.messages import Outcome, PushedOperation
from tournee.sync.models import Reason
from tournee.sync.push.batch import Batch, Unit
from tournee.sync.push.case import Case, State
from tournee.sync.waiting.given_up import give_up, id_in

_COMMAND = "pushOperations"
# Of a larger input the conflict holds only the beginning; the device still has it.
_LONGEST = 100_000
_SHORT = 10_000


async def report(batch: Batch) -> None:
    """8. Add a conflict for each unit that was refused or quarantined, and for each operation that cannot be
    read.
    """
    await _name_entries(batch)
    unreadable = list(_unreadable(batch))
    dependents = batch.waiting_for(Reason.FOLLOWS)
    fresh = [case for case in dependents if case.begins_to_wait]
    if not (batch.reported or fresh or batch.lost or unreadable):
        return
    tx, device_id = batch.tx, batch.device.device_id
    refused = [unit for unit in batch.reported if unit[0].state is State.REFUSED]
    async with tx.running(Operation(_COMMAND, now(), device_id=device_id)):
        for unit in refused:
            await _enter(batch, unit, OPERATION_REJECTED, _why_refused(unit))
        sender = Sender(device_id, tx.actor.id, Role.DISPATCHER)
        await show(tx, sender, unreadable, batch.incoming.schema)
        refused_for_good = {id_in(case.operation.input) for unit in refused for case in unit}
        await give_up(tx, (refused_for_good & batch.will_not_come) | batch.lost)
        await _name_dependents(batch, fresh)
        for unit in batch.reported:
            if unit[0].state is State.QUARANTINED:
                why = _why_quarantined(unit, dependents)
                await _enter(batch, unit, OPERATION_QUARANTINED, why)


def _unreadable(batch: Batch) -> Iterator[tuple[dict[str, Any], Outcome]]:
    """Yield what cannot be read, or reuses the id of another operation: its device forgets it.

    An object with nothing but a number only says that nothing will come under that number.
    """
    for sent, slot in zip(batch.incoming.raw, batch.incoming.slots, strict=True):
        outcome = slot if isinstance(slot, Outcome) else batch.cases[slot.id].answer
        is_reused = outcome.code == OperationReused.code
        if isinstance(sent, dict) and sent.keys() != {"number"} and (outcome is slot or is_reused):
            yield sent, outcome


def _why_refused(unit: Unit) -> dict[str, Any]:
    """Return the refusal that the unit's culprit was answered with."""
    answers = [case.answer for case in unit]
    first = next((one for one in answers if one.code != UnitRefused.code), answers[0])
    return {"code": first.code, "message": first.message, "fields": first.fields}


def _why_quarantined(unit: Unit, dependents: Unit) -> dict[str, Any]:
    ids = {case.id for case in unit}
    waiting = [_named(one) for one in dependents if one.waits_for in ids]
    return {"code": Unfinished.code} | ({"waiting": waiting} if waiting else {})


async def _enter(batch: Batch, unit: Unit, kind: ConflictKind, theirs: dict[str, Any]) -> None:
    """Add the conflict of a unit, and name it in each operation's outcome."""
    operations = [case.operation for case in unit]
    first = operations[0]
    entry = await batch.tx.add(
        Conflict(
            id=new_id(),
            kind=kind,
            role=kind.decider,
            entity=Device.__name__,
            record_id=batch.device.device_id,
            command=named(first.command),
            operation_id=first.id,
            operation_ids=[str(operation.id) for operation in operations],
            actor_id=batch.tx.actor.id,
            device_id=batch.device.device_id,
            occurred_at=first.occurred_at,
            base={},
            mine=shown_unit(operations),
            theirs=_clean(theirs),
        )
    )
    for case in unit:
        assert case.outcome is not None
        case.outcome.conflict = str(entry.id)


async def _name_dependents(batch: Batch, fresh: Unit) -> None:
    """Add new dependents to the conflict of the quarantined operation that they wait for."""
    stopped = (batch.cases.get(case.waits_for) for case in fresh if case.waits_for is not None)
    if not any(case is not None and case.parked is not None for case in stopped):
        return
    entries = await batch.tx.all(
        select(Conflict).where(
            Conflict.record_id == batch.device.device_id,
            Conflict.kind == OPERATION_QUARANTINED,
            Conflict.status == ConflictStatus.OPEN,
        )
    )
    for entry in entries:
        before = entry.theirs.get("waiting", [])
        more = [_named(one) for one in fresh if str(one.waits_for) in entry.operation_ids]
        if more:
            entry.theirs = entry.theirs | {"waiting": [one for one in before if one not in more] + more}


def _named(case: Case) -> dict[str, Any]:
    return {"id": str(case.id), "number": case.number, "command": named(case.operation.command)}


async def _name_entries(batch: Batch) -> None:
    """Name the existing conflict in the outcome of a quarantined operation that was sent again."""
    again = [
        case
        for case in batch.cases.values()
        if case.state is State.QUARANTINED and not case.has_moved and case.sent and case.reused is None
    ]
    if not again:
        return
    with batch.tx.session.no_autoflush:
        entries = await batch.tx.session.execute(
            select(Conflict.id, Conflict.operation_ids).where(
                Conflict.record_id == batch.device.device_id,
                Conflict.kind == OPERATION_QUARANTINED,
            )
        )
    entry_of = {UUID(operation): str(id) for id, operations in entries for operation in operations}
    for case in again:
        case.answer.conflict = entry_of.get(case.id)


@dataclass(frozen=True)
class Sender:
    """The device and account that sent an operation, and the role that sees its conflict."""

    device_id: UUID
    account_id: UUID
    role: Role


async def show(tx: Transaction, sender: Sender, rejected: Iterable[tuple[Any, Outcome]], schema: int) -> None:
    """Add a conflict for each operation that cannot be carried out as it was sent, and name it in the
    outcome.
    """
    entries: dict[UUID, Conflict] = {}
    for sent, outcome in rejected:
        entry = _of_no_use(sender, sent, outcome, schema)
        entries[entry.id] = entry
        outcome.conflict = str(entry.id)
    if not entries:
        return
    with tx.session.no_autoflush:
        known = await tx.session.scalars(select(Conflict.id).where(Conflict.id.in_(entries)))
    for id in entries.keys() - set(known):
        await tx.add(entries[id])


def _of_no_use(sender: Sender, sent: Any, outcome: Outcome, schema: int) -> Conflict:
    """Make the conflict of an unreadable operation. Its id follows from the content, so sending it again adds
    none.
    """
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
        kind=OPERATION_REJECTED,
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
    """Return a command's name in a form that every place can store."""
    return _clean(command).strip()[:80] or "(none)"


def shown_unit(unit: Sequence[PushedOperation]) -> dict[str, Any]:
    """Return the operations of a unit as the conflict shows them."""
    mine = {"operations": [_shown(operation) for operation in unit], "schema": unit[0].schema}
    unknown = [str(operation.id) for operation in unit if operation.base_unknown]
    return mine | ({"baseUnknown": unknown} if unknown else {})


def _shown(operation: PushedOperation) -> dict[str, Any]:
    """Return the operation as it was sent, shortened if it is large."""
    if len(orjson.dumps(operation.raw)) > _LONGEST:
        told = {"id": str(operation.id), "number": operation.number, "command": operation.command}
        told |= _makes(id_in(operation.input))
    else:
        told = operation.raw
    shown: dict[str, Any] = _clean(told)
    return shown


def _makes(record: UUID | None) -> dict[str, str]:
    """Return the id of the record to be created, for an operation that is too large to be shown."""
    return {} if record is None else {"makes": str(record)}


def shown_to_make(shown: Mapping[str, Any]) -> UUID | None:
    """Return the record that an operation creates, read from its conflict."""
    return id_in(shown.get("input")) or id_in({"id": shown.get("makes")})


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, dict):
        return {_clean(name): _clean(one) for name, one in value.items()}
    return [_clean(one) for one in value] if isinstance(value, list) else value
