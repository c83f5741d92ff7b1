"""Who holds which van, and the weeks of its movements: the technician named, or the holder of the vehicle."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import and_, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.assets.models import Asset
from tournee.kernel.log import Entry
from tournee.kernel.membership import Concerned, MembershipRule, Pairs
from tournee.kernel.periods import WEEK
from tournee.people.models import WINDOW, Technician, TechnicianProfile, TechnicianStatus, to_profile
from tournee.stock.models.parts import LocationKind, StockLocation


def _values(entry: Entry, *names: str) -> set[UUID]:
    """Return the ids that these fields had before and have now, if they changed."""
    states = (entry.before or {}, entry.after)
    return {state[name] for state in states for name in names if state.get(name)}


async def _touched(session: AsyncSession, entries: Sequence[Entry]) -> Concerned:
    """Return the accounts whose van or vehicle it was or is. The rule of people covers accounts that
    change.
    """
    technicians: set[UUID] = set()
    vehicles: set[UUID] = set()
    for entry in entries:
        if isinstance(entry.row, StockLocation):
            technicians |= _values(entry, "technicianId")
            vehicles |= _values(entry, "assetId")
        elif isinstance(entry.row, Asset):
            technicians |= _values(entry, "holderTechnicianId")
    questions = [select(Technician.account_id).where(Technician.id.in_(technicians))]
    if vehicles:
        held = and_(
            Asset.organisation_id == Technician.organisation_id, Asset.holder_technician_id == Technician.id
        )
        questions.append(select(Technician.account_id).join(Asset, held).where(Asset.id.in_(vehicles)))
    if not technicians and not vehicles:
        return Concerned()
    accounts = await session.scalars(union(*questions))
    return Concerned(whole={account for account in accounts if account is not None})


async def _held(session: AsyncSession, concerned: Concerned) -> Pairs:
    if not concerned.whole:
        return set()
    active = and_(
        Technician.account_id.in_(concerned.whole),
        Technician.status == TechnicianStatus.ACTIVE,
        Technician.deleted.is_(False),
        StockLocation.kind == LocationKind.VAN,
        StockLocation.deleted.is_(False),
    )
    same = StockLocation.organisation_id == Technician.organisation_id
    columns = (Technician.account_id, StockLocation.id, *WINDOW)
    vehicle = and_(
        Asset.organisation_id == Technician.organisation_id,
        Asset.holder_technician_id == Technician.id,
        Asset.deleted.is_(False),
    )
    by_name = select(*columns).join(StockLocation, and_(same, StockLocation.technician_id == Technician.id))
    by_vehicle = (
        select(*columns)
        .join(Asset, vehicle)
        .join(StockLocation, and_(same, StockLocation.asset_id == Asset.id))
    )
    ways = [way.outerjoin(TechnicianProfile, to_profile()).where(active) for way in (by_name, by_vehicle)]
    return {
        (account, scope)
        for account, location, begins, ends in await session.execute(union(*ways))
        if account is not None
        for scope in (location, *WEEK.carried(location, begins, ends))
    }


MEMBERSHIP = MembershipRule(_touched, _held)
