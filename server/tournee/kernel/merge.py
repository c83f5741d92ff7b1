"""Field-level merge: what becomes of a plain edit that meets somebody else's.

A field nobody else changed since the device's base is simply set. Where both changed it, the
field's policy decides; what the policy sets aside goes to the conflict inbox, never away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tournee.kernel.conflict import ConflictKind
from tournee.kernel.database import Entity
from tournee.kernel.fields import Merge, field_named, present, wire_value
from tournee.kernel.transaction import Transaction


async def merge(tx: Transaction, row: Entity, changes: dict[str, Any]) -> None:
    """Set the fields named in `changes` on a row that was found, each by its policy."""
    theirs = await tx.changed_since_base(row)
    operation = tx.current
    operation.merged = operation.merged or bool(theirs)
    if row.deleted:
        await _dispute_deletion(tx, row, changes)
        return
    disputed: dict[str, Any] = {}
    for name, mine in changes.items():
        field = field_named(type(row), name)
        held = getattr(row, name)
        if field.wire not in theirs or held == mine:
            setattr(row, name, mine)
            operation.kept = True
        elif field.merge in _QUIET:
            setattr(row, name, _QUIET[field.merge](held, mine))
            operation.kept = True
        else:
            disputed[name] = mine
    if disputed:
        await _dispute(tx, row, disputed)


# These policies have an answer in which neither side loses anything.
_QUIET: dict[Merge, Callable[[Any, Any], Any]] = {
    Merge.MAX: lambda held, mine: mine if held is None or (mine is not None and mine > held) else held,
    Merge.MIN: lambda held, mine: mine if held is None or (mine is not None and mine < held) else held,
    Merge.SET_UNION: lambda held, mine: [*held, *(item for item in mine if item not in held)],
}


async def _dispute(tx: Transaction, row: Entity, disputed: dict[str, Any]) -> None:
    operation = tx.current
    wire = {name: field_named(type(row), name).wire for name in disputed}
    base = {wire[name]: await tx.value_at_base(row, wire[name]) for name in disputed}
    theirs = {wire[name]: wire_value(getattr(row, name)) for name in disputed}
    mine = {wire[name]: wire_value(value) for name, value in disputed.items()}
    for name, value in disputed.items():
        if field_named(type(row), name).merge is Merge.LAST_ARRIVAL:
            setattr(row, name, value)
            operation.kept = True
        else:
            operation.lost.append(wire[name])
    await tx.conflict(ConflictKind.FIELD_CHANGED_BY_BOTH, row, base=base, mine=mine, theirs=theirs)


async def _dispute_deletion(tx: Transaction, row: Entity, changes: dict[str, Any]) -> None:
    """An edit alone does not bring a record back; whoever decides may, with the edit."""
    wire = {field_named(type(row), name).wire: value for name, value in changes.items()}
    tx.current.lost.extend(wire)
    await tx.conflict(
        ConflictKind.RECORD_DELETED_MEANWHILE,
        row,
        base={name: await tx.value_at_base(row, name) for name in wire},
        mine={name: wire_value(value) for name, value in wire.items()},
        theirs={"deleted": True},
    )


async def yields_to_changes(tx: Transaction, row: Entity) -> bool:
    """A deletion loses to what others changed meanwhile; whether it does, and somebody decides."""
    theirs = await tx.changed_since_base(row)
    if not theirs:
        return False
    tx.current.lost.append("deleted")
    await tx.conflict(
        ConflictKind.RECORD_DELETED_MEANWHILE,
        row,
        base={name: await tx.value_at_base(row, name) for name in sorted(theirs)},
        mine={"deleted": True},
        theirs=present(row, theirs),
    )
    return True
