"""Devices in GraphQL: how far each is behind, when it was last seen, what it has not handed in.

That changes with every exchange and stands beside the record, so it is fetched here, for all devices
of an operation at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select

from tournee.api.context import Info
from tournee.api.filters import DERIVED
from tournee.api.nodes import ComputedField, Extras
from tournee.api.scalars import Long, optional
from tournee.api.transitions import TRANSITIONS, Ways, for_actor
from tournee.auth.commands import confirm_wipe, disable_account, enable_account, revoke_device
from tournee.auth.models import (
    ACCOUNT_MOVES,
    DEVICE_MOVES,
    Account,
    AccountStatus,
    Device,
    DeviceStatus,
)
from tournee.auth.rules import against_disabling, against_wiping
from tournee.kernel.log import Head
from tournee.kernel.state import Transition
from tournee.sync.models import DeviceState, ParkedOperation

_STATE = and_(DeviceState.organisation_id == Device.organisation_id, DeviceState.device_id == Device.id)


def _asked() -> Any:
    parked = (
        select(func.count())
        .where(
            ParkedOperation.organisation_id == Device.organisation_id, ParkedOperation.device_id == Device.id
        )
        .scalar_subquery()
    )
    return (
        select(
            Device.id,
            func.coalesce(DeviceState.last_seen_at, Device.enrolled_at, type_=Device.enrolled_at.type),
            DeviceState.app,
            DeviceState.schema,
            DeviceState.acknowledged_seq,
            Head.seq - DeviceState.acknowledged_seq,
            parked,
            DeviceState.queue_length,
            DeviceState.queue_oldest_at,
            DeviceState.clock_skew_ms / 1000.0,
        )
        .join(Head, Head.organisation_id == Device.organisation_id)
        .outerjoin(DeviceState, _STATE)
    )


def _told(place: int, description: str) -> Callable[..., Awaitable[Any]]:
    async def resolve(root: Device, info: Info) -> Any:
        found = await info.context.load.related(
            "device state", root.id, lambda ids: _asked().where(Device.id.in_(ids))
        )
        return found[0][place] if found else None

    resolve.__doc__ = description
    return resolve


_FIELDS: tuple[tuple[str, Any, str], ...] = (
    ("lastSeenAt", datetime, "When it last pushed or pulled; before that, when it was enrolled."),
    ("app", optional(str), "The app and its version, as the device reports with each push and pull."),
    ("schema", optional(int), "The schema version of the operations that it sends."),
    ("acknowledgedSeq", optional(Long), "It holds everything up to this change."),
    ("behindBy", optional(Long), "How many changes the organisation has had since."),
    ("pending", int, "The number of its operations that wait on the server."),
    ("queueLength", optional(Long), "The number of operations in its outbox when it last reported."),
    ("queueOldestAt", optional(datetime), "When the oldest of them was done, by its clock."),
    ("clockSkew", optional(float), "By how many seconds its clock is ahead of the server's, as it measured."),
)


def account_transitions(root: Account, info: Info) -> list[Transition]:
    """The statuses that may follow now, and what blocks each of them for you."""
    guards = {AccountStatus.DISABLED: against_disabling(info.context.actor, root.id)}
    following = ACCOUNT_MOVES.transitions(root.status, guards)
    return for_actor(info.context.actor, root.status, following, _OF_ACCOUNTS)


def device_transitions(root: Device, info: Info) -> list[Transition]:
    """The statuses that may follow now, and what blocks each of them for you."""
    guards = {DeviceStatus.WIPED: against_wiping(info.context.actor, root)}
    following = DEVICE_MOVES.transitions(root.status, guards)
    return for_actor(info.context.actor, root.status, following, _OF_DEVICES)


_OF_ACCOUNTS: Ways = {
    AccountStatus.ACTIVE: (enable_account,),
    AccountStatus.DISABLED: (disable_account,),
}
_OF_DEVICES: Ways = {
    DeviceStatus.REVOKED: (revoke_device,),
    DeviceStatus.WIPED: (confirm_wipe,),
}
_TRANSITIONS = "availableTransitions"

EXTRAS = Extras(
    computed=(
        *(
            ComputedField(Device, _told(place, description), kind, name=name)
            for place, (name, kind, description) in enumerate(_FIELDS)
        ),
        ComputedField(
            Device, device_transitions, TRANSITIONS, name=_TRANSITIONS, needs=("status", "account_id")
        ),
        ComputedField(Account, account_transitions, TRANSITIONS, name=_TRANSITIONS, needs=("status", "id")),
    )
)


def _beside(column: Any) -> Callable[[Any], Any]:
    def value(device: Any) -> Any:
        same = (DeviceState.organisation_id == device.organisation_id, DeviceState.device_id == device.id)
        return select(column).where(*same).scalar_subquery()

    return value


def _last_seen(device: Any) -> Any:
    return func.coalesce(
        _beside(DeviceState.last_seen_at)(device), device.enrolled_at, type_=Device.enrolled_at.type
    )


_SOUGHT: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "lastSeenAt": (datetime, _last_seen),
    "app": (str, _beside(DeviceState.app)),
    "schema": (int, _beside(DeviceState.schema)),
    "queueLength": (int, _beside(DeviceState.queue_length)),
    "queueOldestAt": (datetime, _beside(DeviceState.queue_oldest_at)),
}
DERIVED[Device] = {name: (*_SOUGHT[name], description) for name, _, description in _FIELDS if name in _SOUGHT}
