"""Decisions about the fields of a record: whose values it gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tournee.assets.commands import (
    commission_asset,
    install_asset,
    move_asset,
    retire_asset,
    return_asset_to_service,
    take_asset_out_of_service,
)
from tournee.assets.models import Asset, AssetStatus
from tournee.conflicts.deciding import Against, ResolveConflict, Situation, Take, against_record, perform
from tournee.kernel.command import Command
from tournee.kernel.conflict import Resolution
from tournee.kernel.entity import Entity, now
from tournee.kernel.errors import Invalid
from tournee.kernel.registry import registered
from tournee.kernel.transaction import Transaction
from tournee.kernel.values import present
from tournee.procedures.answers import Answer
from tournee.procedures.commands import answer_checklist_item
from tournee.procedures.models import ChecklistAnswer
from tournee.quality.commands import answer_audit_item
from tournee.quality.models import AuditAnswer

_ANSWERS: dict[type[Entity], tuple[Command[Any, Any], str]] = {
    AuditAnswer: (answer_audit_item, "auditId"),
    ChecklistAnswer: (answer_checklist_item, "runId"),
}
_GIVEN = ("checked", "text", "number", "choices", "files", "notApplicable", "reason")
_PLACE = ("siteId", "holderTechnicianId", "customerId")


async def set_fields(tx: Transaction, row: Entity, values: Mapping[str, Any]) -> None:
    """Set these fields of a record, by wire name, through the commands that people use for it."""
    held = present(row, values.keys() - {"deleted"})
    values = {name: value for name, value in values.items() if name in held and held[name] != value}
    if not values:
        return
    if isinstance(row, Answer):
        await _answer_anew(tx, row, values)
        return
    if isinstance(row, Asset) and any(name in values for name in _PLACE):
        await _move(tx, row, values)
        values = {name: value for name, value in values.items() if name not in _PLACE}
    if values:
        entry = registered(type(row))
        assert entry.update is not None
        await perform(tx, entry.update, **{entry.key: row.id, **values})


async def _answer_anew(tx: Transaction, row: Answer, values: Mapping[str, Any]) -> None:
    command, parent = _ANSWERS[type(row)]
    given = {**present(row, _GIVEN), **values}
    given = {name: value for name, value in given.items() if value is not None}
    above = present(row, [parent, "itemKey"])
    await perform(tx, command, **above, **given, at=now())


async def _move(tx: Transaction, asset: Asset, values: Mapping[str, Any]) -> None:
    place = {**present(asset, _PLACE), **{name: values[name] for name in _PLACE if name in values}}
    if place["siteId"] is not None:
        # The customer follows from the site.
        del place["customerId"]
    await perform(tx, move_asset, assetId=asset.id, **place)


def against_editing(situation: Situation) -> list[str]:
    if found := against_record(situation):
        return found
    kind = type(_row(situation))
    return [] if registered(kind).update or kind in _ANSWERS else ["No command sets these fields."]


def _row(situation: Situation) -> Entity:
    assert situation.row is not None
    return situation.row


async def keep_theirs(tx: Transaction, situation: Situation, _do: ResolveConflict) -> None:
    await set_fields(tx, _row(situation), situation.conflict.theirs)


async def take_mine(tx: Transaction, situation: Situation, _do: ResolveConflict) -> None:
    await set_fields(tx, _row(situation), situation.conflict.mine)


async def merge_fields(tx: Transaction, situation: Situation, do: ResolveConflict) -> None:
    """Set each disputed field as the decision says; every one must be named once."""
    conflict = situation.conflict
    named = [choice.name for choice in do.fields]
    if sorted(named) != sorted(conflict.mine):
        raise Invalid(f"Choose a value for each of: {', '.join(sorted(conflict.mine))}.", "fields")
    sides = {Take.MINE: conflict.mine, Take.THEIRS: conflict.theirs}
    values = {
        choice.name: choice.value if choice.take is Take.OTHER else sides[choice.take].get(choice.name)
        for choice in do.fields
    }
    await set_fields(tx, _row(situation), values)


_STEPS: dict[str, Command[Any, Any]] = {
    AssetStatus.INSTALLED: install_asset,
    AssetStatus.OUT_OF_SERVICE: take_asset_out_of_service,
    AssetStatus.RETIRED: retire_asset,
}


def _step(asset: Asset, to: str) -> Command[Any, Any] | None:
    if to == AssetStatus.ACTIVE:
        returns = asset.status is AssetStatus.OUT_OF_SERVICE
        return return_asset_to_service if returns else commission_asset
    return _STEPS.get(to)


def against_step(situation: Situation) -> list[str]:
    """Return why the step of `mine` is not possible: the record can no longer take it."""
    if found := against_record(situation):
        return found
    asset, to = _row(situation), situation.conflict.mine["status"]
    assert isinstance(asset, Asset)
    if asset.status == to or asset.machine.can(asset.status, AssetStatus(to)):
        return []
    return [f"It is {asset.status} and cannot become {to} any more."]


async def take_my_step(tx: Transaction, situation: Situation, _do: ResolveConflict) -> None:
    asset, to = _row(situation), situation.conflict.mine["status"]
    assert isinstance(asset, Asset)
    step = _step(asset, to)
    if asset.status != to and step is not None:
        await perform(tx, step, assetId=asset.id)


def _deletes(situation: Situation, resolution: Resolution) -> bool:
    """Return whether the chosen side is the one that deleted the record."""
    conflict = situation.conflict
    side = conflict.theirs if resolution is Resolution.KEEP_THEIRS else conflict.mine
    return bool(side.get("deleted"))


def against_deletion(resolution: Resolution) -> Against:
    """Return why that side of a conflict about a deletion cannot be taken."""

    def against(situation: Situation) -> list[str]:
        row = situation.row
        if row is None:
            return against_record(situation)
        known = registered(type(row)).delete is not None
        return [] if known or row.deleted is _deletes(situation, resolution) else ["No command does that."]

    return against


async def settle_deletion(tx: Transaction, situation: Situation, do: ResolveConflict) -> None:
    """Delete the record, or restore it with the edit."""
    row = _row(situation)
    entry = registered(type(row))
    if _deletes(situation, do.resolution):
        if not row.deleted and entry.delete is not None:
            await perform(tx, entry.delete, **{entry.key: row.id})
        return
    if row.deleted and entry.delete is not None:
        tx.actor.require(entry.delete.permission)
        row.deleted = False
    if do.resolution is Resolution.TAKE_MINE:
        await set_fields(tx, row, situation.conflict.mine)
