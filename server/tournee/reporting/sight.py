"""Why a record is, or is not, on a device."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import orjson
from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.auth.models import Account, AccountStatus, Device, DeviceStatus
from tournee.auth.roles import OFFICE, permissions_of
from tournee.kernel.actor import Actor
from tournee.kernel.errors import Forbidden, Invalid, NotFound
from tournee.kernel.log import Change, Edge, Member, Record, Seq
from tournee.kernel.registry import BY_NAME
from tournee.kernel.visibility import holds, lies_in
from tournee.people.models import WINDOW, Technician, to_profile
from tournee.quality.models import Audit, takes_part
from tournee.reporting.permissions import SIGHT_READ
from tournee.sync.models import DeviceState
from tournee.work.models.holdings import scopes_given, visits_outside


class SightCode(StrEnum):
    """Why a record is, or is not, on a device."""

    VISIBLE = "VISIBLE"
    """The record should be on the device."""
    RECORD_UNKNOWN = "RECORD_UNKNOWN"
    """There is no such record."""
    DELETED = "DELETED"
    """The record was deleted."""
    ROLE_LACKS_SCOPE = "ROLE_LACKS_SCOPE"
    """The account's role may not read records of this kind."""
    NO_SCOPE = "NO_SCOPE"
    """Nothing ties the record to this account, such as a visit."""
    OUT_OF_WINDOW = "OUT_OF_WINDOW"
    """The visit that ties them, or the record itself, lies outside the days that devices carry."""
    ACCOUNT_DISABLED = "ACCOUNT_DISABLED"
    """The account may not sign in."""
    DEVICE_REVOKED = "DEVICE_REVOKED"
    """The device may not hold data any more."""
    DEVICE_BEHIND = "DEVICE_BEHIND"
    """The device has not confirmed yet that it pulled the record."""


@dataclass(frozen=True)
class SightReason:
    """One reason, with the facts behind it."""

    code: SightCode
    """The reason, for programs."""
    message: str
    """The reason in a sentence, for people."""
    required_scope: Annotated[str | None, "Of ROLE_LACKS_SCOPE: the permission that the role lacks."] = None
    seq: Annotated[
        Seq | None,
        "The change that made it so; of DEVICE_BEHIND, the change that the device must still pull.",
    ] = None
    acknowledged_seq: Annotated[
        Seq | None, "The newest change that the device has pulled; null for none yet."
    ] = None
    appointment_id: Annotated[
        UUID | None,
        "Of OUT_OF_WINDOW: the visit that would show the record; null if its own dates are outside.",
    ] = None
    starts_at: datetime | None = None
    """Of OUT_OF_WINDOW: when the visit or the record starts; null if it has no date, and otherwise."""
    window_from: datetime | None = None
    """Of OUT_OF_WINDOW: the first moment that the device carries; null otherwise."""
    window_to: datetime | None = None
    """Of OUT_OF_WINDOW: the first moment that it no longer carries; null otherwise."""


@dataclass(frozen=True)
class RecordScope:
    """A scope that the record lies in, and whether the account holds it."""

    scope: UUID
    """The scope's id."""
    entity: Annotated[str | None, "The type of the record that is the scope, if it is a record."]
    held: bool
    """Whether the account holds it now."""
    since_seq: Annotated[Seq | None, "The change with which the account got it."]
    lost_seq: Annotated[Seq | None, "The change with which the account lost it; null unless it did."]
    lost_at: datetime | None
    """When the account lost it; null unless it did."""


@dataclass(frozen=True)
class DeviceSight:
    """Whether an account may see a record, whether a device has it, and why."""

    record_id: UUID
    """The record that was asked about."""
    entity: str | None
    """The record's type; null if there is no such record."""
    account_id: UUID
    """The account that was asked about."""
    device_id: UUID | None
    """The device that was asked about; null if none was named."""
    visible: Annotated[bool, "Whether the account may see it now."]
    on_device: Annotated[
        bool | None, "Whether the device has pulled its present form; null without a device."
    ]
    reasons: list[SightReason]
    """All reasons why the record is or is not there."""
    scopes: Annotated[list[RecordScope], "The scopes it lies in; empty for office roles, which see all."]


@dataclass(frozen=True)
class _Viewer:
    """The account and device in question."""

    account: Account
    device_id: UUID | None
    revoked: bool = False
    acknowledged: int | None = None


@dataclass
class _Found:
    """What is known of the record."""

    entity: str
    seq: int
    deleted: bool
    created: int
    scopes: list[RecordScope] = field(default_factory=list)
    # Where in the feed its present form came to the account.
    position: int | None = None


async def sight(
    session: AsyncSession, asker: Actor, record_id: UUID, account_id: UUID | None, device_id: UUID | None
) -> DeviceSight:
    """Explain for any account if the actor has an office role, else only for the actor's own; a hidden
    record is then answered like a missing one.
    """
    viewer = await _viewer(session, asker, account_id, device_id)
    found = await _record(session, record_id)
    office = asker.may(SIGHT_READ)
    if found is None or (office and not asker.may(BY_NAME[found.entity].reads)):
        return _unknown(record_id, viewer)
    await _place(session, viewer, record_id, found)
    against = _against(viewer, found)
    if not against and found.position is None:
        against = [await _without_scope(session, viewer, record_id, found)]
    visible = not against
    if not visible and not office:
        return _unknown(record_id, viewer)
    reasons = against or [_visible(found)]
    reasons += _about_the_device(viewer, found, visible=visible)
    scopes = found.scopes if office else [scope for scope in found.scopes if scope.held]
    on_device = visible and len(reasons) == 1 if viewer.device_id else None
    return DeviceSight(
        record_id, found.entity, viewer.account.id, viewer.device_id, visible, on_device, reasons, scopes
    )


def _unknown(record_id: UUID, viewer: _Viewer) -> DeviceSight:
    reason = SightReason(SightCode.RECORD_UNKNOWN, "There is no such record.")
    on_device = False if viewer.device_id else None
    account_id = viewer.account.id
    return DeviceSight(record_id, None, account_id, viewer.device_id, False, on_device, [reason], [])


async def _viewer(
    session: AsyncSession, asker: Actor, account_id: UUID | None, device_id: UUID | None
) -> _Viewer:
    device = None if device_id is None else await _device(session, device_id)
    whose = account_id or (device[0] if device else None) or (asker.id if device_id is None else None)
    if whose != asker.id and not asker.may(SIGHT_READ):
        raise Forbidden("Only the office may ask about other people's devices.")
    if whose is None:
        raise NotFound("There is no such Device.", "deviceId")
    if device and device[0] != whose:
        raise Invalid("This device belongs to another account.", "deviceId")
    account = await session.scalar(select(Account).where(Account.id == whose))
    if account is None:
        raise NotFound("There is no such Account.", "accountId")
    return _Viewer(account, device_id, *(device[1:] if device else ()))


async def _device(session: AsyncSession, device_id: UUID) -> tuple[UUID, bool, int | None] | None:
    """Return the device's account, whether it was revoked, and what it has pulled; it may be known only
    by its calls.
    """
    status = await session.execute(select(Device.account_id, Device.status).where(Device.id == device_id))
    state = await session.execute(
        select(DeviceState.account_id, DeviceState.acknowledged_seq).where(DeviceState.device_id == device_id)
    )
    named, known = status.one_or_none(), state.one_or_none()
    if named is None and known is None:
        return None
    revoked = named is not None and named[1] is not DeviceStatus.ENROLLED
    return (named or known)[0], revoked, known[1] if known else None  # type: ignore[index]


async def _record(session: AsyncSession, id: UUID) -> _Found | None:
    rows = await session.execute(
        select(Record.entity, Record.seq, Record.deleted, Record.clock).where(Record.id == id)
    )
    row = rows.one_or_none()
    if row is None:
        return None
    return _Found(row[0], row[1], row[2], orjson.loads(row[3]).get("*", [row[1]])[0])


async def _place(session: AsyncSession, viewer: _Viewer, record_id: UUID, found: _Found) -> None:
    """Return the scopes that the record lies in, whether the account holds each, and the record's place
    in the feed.
    """
    account = viewer.account
    if account.role in OFFICE:
        found.position = found.seq
        return
    mine = and_(lies_in(), holds(account.id, ever=True))
    rows = await session.execute(
        select(Edge.scope, Edge.seq, Member.from_seq, Member.to_seq, Change.recorded_at, Record.entity)
        .outerjoin(Member, mine)
        .outerjoin(Change, and_(Change.organisation_id == Edge.organisation_id, Change.seq == Member.to_seq))
        .outerjoin(Record, and_(Record.organisation_id == Edge.organisation_id, Record.id == Edge.scope))
        .where(
            Edge.record_id == record_id,
            Edge.open.is_(True),
        )
        .order_by(Edge.scope, Member.from_seq)
    )
    latest: dict[UUID, RecordScope] = {}
    for scope, seq, since, lost, lost_at, entity in rows:
        # A join that found no membership leaves both empty.
        from_seq: int | None = since
        to_seq = None if lost is None else Seq(lost)
        if from_seq is None or to_seq is not None:
            latest[scope] = RecordScope(scope, entity, False, None, to_seq, lost_at)
        else:
            latest[scope] = RecordScope(scope, entity, True, Seq(from_seq), None, None)
            found.position = max(found.position or 0, seq, from_seq)
    for scope in await _dormant(session, record_id, found, latest):
        kind = await session.scalar(select(Record.entity).where(Record.id == scope))
        latest[scope] = RecordScope(scope, kind, False, None, None, None)
    found.scopes = list(latest.values())


async def _dormant(
    session: AsyncSession, record_id: UUID, found: _Found, known: Collection[UUID]
) -> list[UUID]:
    """Return the scopes of the record that have no edges, because nobody has held them for long."""
    model: Any = BY_NAME[found.entity]
    row = await session.scalar(select(model).where(model.id == record_id, model.deleted.is_(False)))
    scopes = [] if row is None else row.scopes()
    return sorted({scope for scope in scopes if scope is not None} - set(known))


def _against(viewer: _Viewer, found: _Found) -> list[SightReason]:
    """Return what hides the record from the account, whatever scopes it holds."""
    reasons = []
    needed = BY_NAME[found.entity].reads
    if found.deleted:
        reasons.append(SightReason(SightCode.DELETED, "It was deleted.", seq=Seq(found.seq)))
    if needed not in permissions_of(viewer.account.role):
        said = f"The role {viewer.account.role} may not read such records."
        reasons.append(SightReason(SightCode.ROLE_LACKS_SCOPE, said, required_scope=needed))
    return reasons


async def _without_scope(
    session: AsyncSession, viewer: _Viewer, record_id: UUID, found: _Found
) -> SightReason:
    scopes = {scope.scope for scope in found.scopes}
    visits = visits_outside(viewer.account.id)
    for *visit, starts_at, window_from, window_to in await session.execute(visits):
        if scopes & scopes_given(*visit):
            return SightReason(
                SightCode.OUT_OF_WINDOW,
                "The visit that would show it is outside the days that the device carries.",
                appointment_id=visit[0],
                starts_at=starts_at,
                window_from=window_from,
                window_to=window_to,
            )
    if outside := await _out_of_window(session, viewer, record_id, found.entity):
        return outside
    lost = max((scope.lost_seq for scope in found.scopes if scope.lost_seq is not None), default=None)
    said = "The account holds none of the scopes it lies in" if scopes else "Only the office may see it"
    said += "." if lost is None else " any more."
    return SightReason(SightCode.NO_SCOPE, said, seq=lost)


async def _out_of_window(
    session: AsyncSession, viewer: _Viewer, record_id: UUID, entity: str
) -> SightReason | None:
    """Return the reason if the record is the account's own, with dates that the device does not carry."""
    model = BY_NAME[entity]
    row = (await session.scalars(select(model).where(model.id == record_id))).one()
    window = await session.execute(
        select(*WINDOW).join(Technician, to_profile()).where(Technician.account_id == viewer.account.id)
    )
    between = window.one_or_none()
    spans = list(row.spans())
    owners = [span.owner for span in spans if span.owner is not None]
    own = select(Member.scope).where(Member.scope.in_(owners), holds(viewer.account.id)).limit(1)
    is_own = await session.scalar(own) is not None
    audit_id = row.id if isinstance(row, Audit) else getattr(row, "audit_id", None)
    if not is_own and audit_id is not None:
        is_own = await takes_part(session, viewer.account.id, audit_id)
    if between is None or not is_own:
        return None
    return SightReason(
        SightCode.OUT_OF_WINDOW,
        "Its dates lie outside the days that the device carries.",
        starts_at=min((span.first for span in spans), default=None),
        window_from=between[0],
        window_to=between[1],
    )


def _visible(found: _Found) -> SightReason:
    held = [scope.since_seq for scope in found.scopes if scope.since_seq is not None]
    since = max(found.created, min(held, default=0))
    return SightReason(SightCode.VISIBLE, "The account may see it.", seq=Seq(since))


def _about_the_device(viewer: _Viewer, found: _Found, *, visible: bool) -> list[SightReason]:
    reasons = []
    if viewer.account.status is not AccountStatus.ACTIVE:
        reasons.append(SightReason(SightCode.ACCOUNT_DISABLED, "The account may not sign in."))
    if viewer.revoked:
        reasons.append(
            SightReason(SightCode.DEVICE_REVOKED, "The device was revoked and must erase its copy.")
        )
    position = found.position or 0
    if visible and viewer.device_id and (viewer.acknowledged is None or viewer.acknowledged < position):
        reasons.append(
            SightReason(
                SightCode.DEVICE_BEHIND,
                "The device has not confirmed yet that it pulled this.",
                seq=Seq(position),
                acknowledged_seq=None if viewer.acknowledged is None else Seq(viewer.acknowledged),
            )
        )
    return reasons
