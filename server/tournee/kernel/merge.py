"""Field-level merge: a plain edit meets what somebody else changed.

There are three sides: what the device saw (base), what it sends (mine), and what stands (theirs). A field
that only one side changed takes that side's value. If both changed it, the field's policy decides, and the
value it sets aside goes to the conflict inbox. What the same device did later stands, except under policies
in which neither value is lost: the person did it knowing of this edit. If the device's own times contradict
that order, somebody decides.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import select

from tournee.kernel.conflict import FIELD_CHANGED_BY_BOTH, RECORD_DELETED_MEANWHILE, Conflict, ConflictStatus
from tournee.kernel.entity import Entity
from tournee.kernel.fields import Field, Merge, field_named
from tournee.kernel.transaction import Transaction
from tournee.kernel.values import present, wire_value


async def merge(tx: Transaction, row: Entity, changes: dict[str, Any], *, together: bool = False) -> bool:
    """Set the fields in `changes` on a row that was found, each by its policy.

    `together`: the fields make sense only as a whole. Returns False if the device has since set any of them
    to something else.
    """
    theirs = await tx.changed_since_base(row)
    operation = tx.current
    operation.merged = operation.merged or bool(theirs)
    if row.deleted:
        await _dispute_deletion(tx, row, changes)
        return True
    said = changes
    if operation.overtaken_in is not None:
        own_later = await operation.overtaken_in(row)
        changes = await _not_overtaken(tx, row, said, own_later, together=together)
    disputed: dict[str, Any] = {}
    for name, mine in changes.items():
        wire = field_named(type(row), name).wire
        if getattr(row, name) == mine:
            operation.left_unmoved(row, [wire])
            operation.kept = True
        elif wire not in theirs:
            setattr(row, name, mine)
            operation.kept = True
        elif not await _settle(tx, row, name, mine):
            disputed[name] = mine
    if disputed:
        await _dispute(tx, row, disputed)
    return len(changes) == len(said)


async def _not_overtaken(
    tx: Transaction, row: Entity, changes: dict[str, Any], own_later: dict[str, datetime], *, together: bool
) -> dict[str, Any]:
    """Return the changes without those the device has made anew since; with `together`, all or none."""
    operation = tx.current
    of = {name: field_named(type(row), name) for name, mine in changes.items() if getattr(row, name) != mine}
    overtaken = {name for name, field in of.items() if field.wire in own_later}
    if not overtaken:
        return changes
    # Under these policies a late edit loses nothing.
    quiet = {name for name in overtaken if of[name].merge in _QUIET}
    if together and overtaken - quiet:
        overtaken |= {name for name, field in of.items() if field.merge not in _QUIET}
    operation.merged = True
    lost = {name: mine for name, mine in changes.items() if name in overtaken - quiet}
    operation.lost.extend(of[name].wire for name in lost)
    if lost:
        await _keep_overtaken(tx, row, lost, own_later)
    late = {name: await _fold(tx, row, of[name], changes[name]) for name in quiet}
    return {name: late.get(name, mine) for name, mine in changes.items() if name not in lost}


async def _keep_overtaken(
    tx: Transaction, row: Entity, lost: dict[str, Any], own_later: dict[str, datetime]
) -> None:
    """Keep a value that the device replaced later, judging by its numbers. If its clock says otherwise,
    somebody decides: a restored phone may have lost count.
    """
    sides = await _sides(tx, row, lost)
    at = tx.current.occurred_at
    if any(own_later.get(name, at) < at for name in sides["mine"]):
        await tx.conflict(FIELD_CHANGED_BY_BOTH, row, **sides)
    else:
        await tx.set_aside(row, **sides)


class _Sides(TypedDict):
    base: dict[str, Any]
    mine: dict[str, Any]
    theirs: dict[str, Any]


async def _sides(tx: Transaction, row: Entity, mine: dict[str, Any]) -> _Sides:
    """Return base, mine and theirs of these fields, as a conflict holds them."""
    wire = {name: field_named(type(row), name).wire for name in mine}
    return {
        "base": {wire[name]: await tx.value_at_base(row, wire[name]) for name in mine},
        "mine": {wire[name]: wire_value(value) for name, value in mine.items()},
        "theirs": {wire[name]: wire_value(getattr(row, name)) for name in mine},
    }


async def _fold(tx: Transaction, row: Entity, field: Field, mine: Any) -> Any:
    """Combine both values; in a set this keeps what was added, since what was removed later is out."""
    held = getattr(row, field.name)
    base = await _combined_base(tx, row, field)
    if field.merge is Merge.SET_UNION:
        base = [item for item in base or [] if item in mine]
    return _QUIET[field.merge](base, held, mine)


async def _combined_base(tx: Transaction, row: Entity, field: Field) -> Any:
    """Return the value at the device's base; None if it was archived, so that nothing counts as removed."""
    base = await tx.value_at_base(row, field.wire)
    return base if await tx.reaches_base() else None


async def _settle(tx: Transaction, row: Entity, name: str, mine: Any) -> bool:
    """Apply the field's policy; return whether both sides can have their way."""
    field = field_named(type(row), name)
    base, held = await _combined_base(tx, row, field), getattr(row, name)
    if wire_value(mine) == base and (base is not None or await tx.reaches_base()):
        # The device sent the value it saw: only the others changed it.
        result = held
    elif field.merge in _QUIET:
        result = _QUIET[field.merge](base, held, mine)
    else:
        return False
    if result != held:
        setattr(row, name, result)
        tx.current.kept = True
    else:
        tx.current.left_unmoved(row, [field.wire])
    if result != mine:
        tx.current.lost.append(field.wire)
    if field.merge in _ONE_OF_TWO and result != mine and wire_value(mine) != base:
        await tx.set_aside(row, **await _sides(tx, row, {name: mine}))
    return True


def _united(base: list[Any] | None, held: list[Any], mine: list[Any]) -> list[Any]:
    """Return the set with everything that either side added, without anything that either side removed."""
    removed = [item for item in base or [] if item not in mine]
    added = [item for item in mine if item not in (base or []) and item not in held]
    return [*(item for item in held if item not in removed), *dict.fromkeys(added)]


# These policies have a result in which neither side loses anything.
_QUIET: dict[Merge, Callable[[Any, Any, Any], Any]] = {
    Merge.MAX: lambda _, held, mine: max((one for one in (held, mine) if one is not None), default=None),
    Merge.MIN: lambda _, held, mine: min((one for one in (held, mine) if one is not None), default=None),
    Merge.SET_UNION: _united,
}


# These policies keep one value; the other goes to the inbox for people to read.
_ONE_OF_TWO = frozenset({Merge.MAX, Merge.MIN})


async def _dispute(tx: Transaction, row: Entity, disputed: dict[str, Any]) -> None:
    operation = tx.current
    sides = await _sides(tx, row, disputed)
    for name, value in disputed.items():
        field = field_named(type(row), name)
        if field.merge is Merge.LAST_ARRIVAL:
            setattr(row, name, value)
            operation.kept = True
        else:
            operation.lost.append(field.wire)
            operation.left_unmoved(row, [field.wire])
    if not await _bring_up(tx, row, sides["mine"], sides["theirs"]):
        await tx.conflict(FIELD_CHANGED_BY_BOTH, row, **sides)


async def _bring_up(tx: Transaction, row: Entity, mine: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Bring the open conflict up to date when the device edits the same fields again."""
    operation = tx.current
    found = await tx.all(
        select(Conflict).where(
            Conflict.record_id == row.id,
            Conflict.device_id == operation.device_id,
            Conflict.kind == FIELD_CHANGED_BY_BOTH,
            Conflict.status == ConflictStatus.OPEN,
        )
    )
    conflict = next((one for one in found if mine.keys() <= one.mine.keys()), None)
    if conflict is None:
        return False
    conflict.mine = {**conflict.mine, **mine}
    conflict.theirs = {**conflict.theirs, **theirs}
    conflict.standing = present(row, conflict.mine.keys())
    conflict.command, conflict.operation_id = operation.command, operation.id
    conflict.occurred_at = operation.occurred_at
    conflict.involve(operation.id)
    operation.conflict = conflict
    return True


async def _dispute_deletion(tx: Transaction, row: Entity, changes: dict[str, Any]) -> None:
    """Add a conflict: an edit alone does not restore a deleted record, but whoever decides may, with the
    edit.
    """
    wire = {field_named(type(row), name).wire: value for name, value in changes.items()}
    tx.current.lost.extend(wire)
    tx.current.left_unmoved(row, wire)
    await tx.conflict(
        RECORD_DELETED_MEANWHILE,
        row,
        base={name: await tx.value_at_base(row, name) for name in wire},
        mine={name: wire_value(value) for name, value in wire.items()},
        theirs={"deleted": True},
    )


async def yields_to_changes(tx: Transaction, row: Entity) -> bool:
    """Return whether a deletion loses to what others changed meanwhile; if it does, somebody decides."""
    theirs = await tx.changed_since_base(row)
    if not theirs:
        return False
    tx.current.lost.append("deleted")
    await tx.conflict(
        RECORD_DELETED_MEANWHILE,
        row,
        base={name: await tx.value_at_base(row, name) for name in sorted(theirs)},
        mine={"deleted": True},
        theirs=present(row, theirs),
    )
    return True
