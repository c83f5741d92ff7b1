"""The door: an account and device are admitted as they stand at the head at which their page is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
from starlette.types import Receive, Scope, Send

from tournee.answers import coded
from tournee.auth.authenticate import Authenticator
from tournee.auth.middleware import log_refused, refused, unauthenticated
from tournee.auth.tokens import TokenRefused
from tournee.engine.database import Database
from tournee.engine.tail import Recent, Tail
from tournee.kernel.actor import Actor
from tournee.kernel.errors import Invalid, Refused
from tournee.kernel.outages import reading_again
from tournee.sync.devices.locking import DeviceMismatch, DeviceRevoked, check_device
from tournee.sync.push.request import read_uuid

Query = Mapping[str, str]
Answer = Callable[[Actor, Query, Scope, Receive, Send], Awaitable[None]]

_HEADERS = [(b"content-type", b"application/json")]


class Door:
    """Admits accounts and devices in good standing. Without an authenticator it checks devices only."""

    def __init__(self, database: Database, tail: Tail, authenticator: Authenticator | None) -> None:
        self.database = database
        self.tail = tail
        self.authenticator = authenticator

    async def enter(self, actor: Actor, device_id: UUID | None, seq: int | None = None) -> Recent:
        """Return what happened lately, up to a head no older than this call, or up to the given seq.

        Raises TokenRefused or Refused.
        """
        if seq is None:
            recent = await self.tail.now(actor.organisation_id)
        else:
            recent = await self.tail.reaching(actor.organisation_id, seq)
        if self.authenticator is not None:
            await self.authenticator.require(actor, recent)
        if device_id is not None and (device_id != actor.device_id or self.authenticator is None):
            async with self.database.reading(actor.organisation_id) as session:
                await check_device(session, actor, device_id)
        return recent


class Read:
    """An endpoint for signed-in accounts that bypasses Starlette's request and response."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        actor = scope.get("actor")
        if actor is None:
            await unauthenticated()(scope, receive, send)
            return
        query = _query(scope["query_string"].decode("latin-1"))
        try:
            await reading_again(lambda: self.answer(actor, query, scope, receive, send))
        except TokenRefused as refusal:
            await refused(refusal)(scope, receive, send)
        except Refused as refusal:
            status = 403 if isinstance(refusal, DeviceRevoked | DeviceMismatch) else 400
            answer = coded(status, refusal.code, refusal.message, field=refusal.field, **_details(refusal))
            await answer(scope, receive, send)


def _query(text: str) -> Query:
    if "%" in text or "+" in text:
        return dict(parse_qsl(text, keep_blank_values=True))
    # Usually nothing is escaped.
    return {name: value for name, _, value in [part.partition("=") for part in text.split("&")] if name}


async def send_json(send: Send, body: bytes) -> None:
    headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def error_of(refusal: Refused | TokenRefused) -> str:
    """Return a refusal as an event of a stream."""
    if isinstance(refusal, TokenRefused):
        log_refused(refusal)
    field = refusal.field if isinstance(refusal, Refused) else None
    told = {"code": refusal.code, "message": refusal.message, "field": field, **_details(refusal)}
    return orjson.dumps({"error": told}).decode()


def _details(refusal: Refused | TokenRefused) -> Mapping[str, Any]:
    return (refusal.details if isinstance(refusal, DeviceRevoked | TokenRefused) else None) or {}


def device_of(query: Query, actor: Actor) -> UUID | None:
    """Return the device that the request names, else the token's."""
    named = query.get("device")
    return read_uuid(named) if named else actor.device_id


def limit_of(query: Query, default: int) -> int:
    value = query.get("limit")
    if value is None:
        return default
    if not value.isascii() or not value.isdigit() or len(value) > 7 or not 1 <= int(value) <= 1_000_000:
        raise Invalid("limit: must be a whole number from 1 up.", "limit")
    return int(value)
