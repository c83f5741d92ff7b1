"""What a delivery contains, and its signature: those of Standard Webhooks (version 1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from tournee.auth.organisations import actor_of
from tournee.auth.roles import Role
from tournee.kernel.actor import Actor
from tournee.kernel.head import Mark
from tournee.kernel.log import Change
from tournee.kernel.registry import BY_NAME
from tournee.kernel.values import wire_time
from tournee.kernel.withheld import without
from tournee.sync.pull.cursor import Cursor
from tournee.sync.pull.position import write_position
from tournee.webhooks.models import key_of


@dataclass(frozen=True)
class Signed:
    """A request's headers and body."""

    headers: dict[str, str]
    body: bytes


def reader(organisation_id: UUID, endpoint_id: UUID) -> Actor:
    """Return the actor that deliveries are written for: one with the role `REPORTING`."""
    return actor_of(organisation_id, endpoint_id, Role.REPORTING)


def is_readable(actor: Actor, entity: str) -> bool:
    return entity in BY_NAME and actor.may(BY_NAME[entity].reads)


def delivery_id(endpoint_id: UUID, seq: int) -> str:
    """Return the id of a delivery, which is the same at each attempt."""
    return f"msg_{endpoint_id.hex}_{seq}"


def content(change: Change, epoch: UUID, actor: Actor) -> bytes:
    """Return the body: the change as this person sees it."""

    def read(text: str | None) -> Any:
        return without(actor, change.entity, None if text is None else orjson.loads(text))

    after = read(change.after)
    cursor = Cursor(epoch, change.seq, mark=Mark.of(change.seq, change.recorded_at))
    data = {
        "seq": change.seq,
        "cursor": write_position(cursor),
        "entity": change.entity,
        "recordId": str(change.id),
        "command": change.command,
        "actorId": _text(change.actor_id),
        "deviceId": _text(change.device_id),
        "removed": bool((after or {}).get("deleted")),
        "before": read(change.before),
        "after": after,
        "occurredAt": wire_time(change.occurred_at),
        "recordedAt": wire_time(change.recorded_at),
    }
    return orjson.dumps({"type": "change", "timestamp": wire_time(change.recorded_at), "data": data})


def _text(id: UUID | None) -> str | None:
    return None if id is None else str(id)


def sign(id: str, at: datetime, body: bytes, secret: str) -> Signed:
    """Sign the id, the time and the body together."""
    seconds = str(int(at.timestamp()))
    signed = b".".join((id.encode(), seconds.encode(), body))
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    headers = {
        "content-type": "application/json",
        "user-agent": "Tournee-Webhooks/1",
        "webhook-id": id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    return Signed(headers, body)
