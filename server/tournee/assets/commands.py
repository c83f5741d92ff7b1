"""Commands about assets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import select

from tournee.assets.models import Asset, AssetStatus, Meter, Ownership, Reading, ReadingSource
from tournee.assets.permissions import ASSETS_WRITE
from tournee.assets.readings import judge_neighbours, note_retired_meanwhile, put_where_read
from tournee.customers.models import Customer, Site
from tournee.kernel.actor import Actor
from tournee.kernel.command import Command, command
from tournee.kernel.conflict import STATE_CHANGED_BY_BOTH
from tournee.kernel.errors import Forbidden, Invalid
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.merge import merge
from tournee.kernel.plain import creates, edits
from tournee.kernel.registry import BY_TABLE, Plain
from tournee.kernel.rules import not_its_own_ancestor, obeying
from tournee.kernel.transaction import Transaction
from tournee.people.models import Technician


async def _customer_of(tx: Transaction, site_id: UUID, customer_id: UUID | None) -> UUID:
    """Return the customer of the site; raises Invalid if another one is named."""
    site = await tx.find_reference(Site, site_id, "siteId")
    if customer_id not in (None, site.customer_id):
        raise Invalid("This site belongs to another customer.", "siteId")
    return site.customer_id


async def _derive_customer(tx: Transaction, asset: Asset) -> None:
    if asset.site_id is not None and asset.ownership is Ownership.CUSTOMER:
        asset.customer_id = await _customer_of(tx, asset.site_id, asset.customer_id)


async def _field_may_add(tx: Transaction, asset: Asset) -> None:
    """Raise Forbidden unless the actor may add this asset: in the field people find customers' assets;
    the office adds the organisation's own.
    """
    if not tx.actor.sees_all and (asset.ownership is Ownership.COMPANY or asset.site_id is None):
        raise Forbidden("In the field, you can add only customers' assets at a site.", "siteId")


def _with_first_status(plain: Command[Any, Asset]) -> Command[Any, Asset]:
    """Return the create command with an optional first status: an asset may be found in any status; steps
    lead to all later ones.
    """
    first: Any = ("status", AssetStatus | Unset, dataclasses.field(default=UNSET))
    wider = dataclasses.make_dataclass("CreateAsset", [first], bases=(plain.input,), frozen=True)
    return dataclasses.replace(plain, input=wider)


_PLACE = ("customer_id", "site_id", "holder_technician_id")

create_asset = obeying(
    _with_first_status(
        creates(
            Asset,
            ASSETS_WRITE,
            offline=True,
            fact=True,
            description="Add an asset, known before or just found; the site, if named, decides its customer.",
        )
    ),
    _derive_customer,
    _field_may_add,
)
update_asset = obeying(
    edits(Asset, ASSETS_WRITE, offline=True, without=["ownership", *_PLACE]), not_its_own_ancestor
)


@dataclass(frozen=True)
class MoveAsset:
    asset_id: UUID
    """The asset that moves."""
    site_id: UUID | None = None
    """Where it goes; null if to no site."""
    holder_technician_id: UUID | None = None
    """The technician who takes it, for things of the company; else null."""
    customer_id: UUID | None = None
    """The customer, where it goes to no site; at a site the site's own is taken."""


@command(ASSETS_WRITE, offline=True, fact=True)
async def move_asset(tx: Transaction, actor: Actor, do: MoveAsset) -> Asset:
    """Record where an asset is now: at a site, with a technician, or with its customer at no particular
    site. An asset of the organisation is in the depot if none of these is named. Its parts and meters
    move with it.
    """
    asset = await tx.find(Asset, do.asset_id, "assetId")
    place = await _place(tx, asset, do)
    parts = await _parts_with(tx, asset)
    await merge(tx, asset, place, together=True)
    for part in parts:
        for name in _PLACE:
            setattr(part, name, getattr(asset, name))
    things = {thing.id: thing for thing in (asset, *parts)}
    for meter in await tx.all(select(Meter).where(Meter.asset_id.in_(things))):
        meter.put_where(things[meter.asset_id])
    return asset


async def _place(tx: Transaction, asset: Asset, do: MoveAsset) -> dict[str, Any]:
    await tx.find_optional(Customer, do.customer_id, "customerId")
    await tx.find_optional(Technician, do.holder_technician_id, "holderTechnicianId")
    customer_id = do.customer_id
    if do.site_id is not None:
        owner = await _customer_of(tx, do.site_id, do.customer_id)
        customer_id = owner if asset.ownership is Ownership.CUSTOMER else None
    return {
        "customer_id": customer_id,
        "site_id": do.site_id,
        "holder_technician_id": do.holder_technician_id,
    }


async def _parts_with(tx: Transaction, asset: Asset) -> list[Asset]:
    """Return the parts, and their parts, that are in the same place as the asset."""
    found: dict[UUID, Asset] = {}
    above = {asset.id}
    while above:
        parts = [
            part
            for part in await tx.all(select(Asset).where(Asset.parent_id.in_(above)))
            if part.id not in found and all(getattr(part, n) == getattr(asset, n) for n in _PLACE)
        ]
        above = {part.id for part in parts}
        found.update((part.id, part) for part in parts)
    return list(found.values())


async def _step(tx: Transaction, asset_id: UUID, to: AssetStatus) -> Asset:
    """Take a step that happened in the field; the office may have taken another meanwhile."""
    asset = await tx.find(Asset, asset_id, "assetId")
    if Asset.machine.can(asset.status, to) or "status" not in await tx.changed_since_base(asset):
        asset.become(to)
    elif asset.status is not to:
        tx.current.lost.append("status")
        await tx.conflict(
            STATE_CHANGED_BY_BOTH,
            asset,
            base={"status": await tx.value_at_base(asset, "status")},
            mine={"status": to.value},
            theirs={"status": asset.status.value},
        )
    return asset


@dataclass(frozen=True)
class InstallAsset:
    asset_id: UUID
    """The asset that is put in place."""
    installed_on: date | Unset = UNSET
    """The day; if left out, the present one stays."""


@command(ASSETS_WRITE, offline=True, fact=True)
async def install_asset(tx: Transaction, actor: Actor, do: InstallAsset) -> Asset:
    """Record that a planned asset is installed, but not in use yet."""
    asset = await _step(tx, do.asset_id, AssetStatus.INSTALLED)
    if do.installed_on is not UNSET:
        await merge(tx, asset, {"installed_on": do.installed_on})
    return asset


@dataclass(frozen=True)
class CommissionAsset:
    asset_id: UUID
    """The asset that goes into use."""


@command(ASSETS_WRITE, offline=True, fact=True)
async def commission_asset(tx: Transaction, actor: Actor, do: CommissionAsset) -> Asset:
    """Put an asset into use."""
    return await _step(tx, do.asset_id, AssetStatus.ACTIVE)


@dataclass(frozen=True)
class TakeAssetOutOfService:
    asset_id: UUID
    """The asset that is broken or switched off."""


@command(ASSETS_WRITE, offline=True, fact=True)
async def take_asset_out_of_service(tx: Transaction, actor: Actor, do: TakeAssetOutOfService) -> Asset:
    """Take an asset out of use until it is returned to service."""
    return await _step(tx, do.asset_id, AssetStatus.OUT_OF_SERVICE)


@dataclass(frozen=True)
class ReturnAssetToService:
    asset_id: UUID
    """The asset that is in use again."""


@command(ASSETS_WRITE, offline=True, fact=True)
async def return_asset_to_service(tx: Transaction, actor: Actor, do: ReturnAssetToService) -> Asset:
    """Put an asset that was out of service back into use."""
    return await _step(tx, do.asset_id, AssetStatus.ACTIVE)


@dataclass(frozen=True)
class RetireAsset:
    asset_id: UUID
    """The asset that is gone for good."""


@command(ASSETS_WRITE, offline=True, fact=True)
async def retire_asset(tx: Transaction, actor: Actor, do: RetireAsset) -> Asset:
    """Retire an asset for good."""
    return await _step(tx, do.asset_id, AssetStatus.RETIRED)


async def _put_with_asset(tx: Transaction, meter: Meter) -> None:
    meter.put_where(await tx.find(Asset, meter.asset_id, "assetId"))


create_meter = obeying(creates(Meter, ASSETS_WRITE, offline=True, fact=True), _put_with_asset)
update_meter = edits(Meter, ASSETS_WRITE, offline=True, without=["asset_id", "kind"])


@dataclass(frozen=True)
class RecordReading:
    meter_id: UUID
    value: float
    taken_at: datetime
    appointment_id: UUID | None = None
    """The visit on which it was taken; null if on none."""
    source: ReadingSource | Unset = UNSET
    note: Annotated[str | None, Limits(length=2000)] = None
    corrects_id: UUID | None = None
    id: UUID | Unset = UNSET


@command(ASSETS_WRITE, offline=True, fact=True, plain=Plain.CREATE)
async def record_reading(tx: Transaction, actor: Actor, do: RecordReading) -> Reading:
    """Record what a meter showed, or correct a reading that was wrong."""
    meter = await tx.find(Meter, do.meter_id, "meterId")
    await tx.find_optional(BY_TABLE["appointment"], do.appointment_id, "appointmentId")
    wrong = await tx.find_optional(Reading, do.corrects_id, "correctsId")
    if wrong is not None and wrong.meter_id != meter.id:
        raise Invalid("That reading belongs to another meter.", "correctsId")
    given = {name: value for name, value in vars(do).items() if value is not UNSET}
    reading = Reading(**given, asset_id=meter.asset_id, unit=meter.unit, taken_by_id=actor.id)
    await put_where_read(tx, reading, meter)
    await tx.add(reading)
    if wrong is not None:
        wrong.is_corrected = True
    await judge_neighbours(tx, meter, [reading] if wrong is None else [reading, wrong])
    await note_retired_meanwhile(tx, reading)
    return reading
