"""The HTTP side of sync: /sync/push, /sync/pull, /sync/stream."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tournee.auth.middleware import surrender_token, unauthenticated
from tournee.auth.revoked import KnownDevice, recognise
from tournee.kernel.actor import Actor
from tournee.kernel.command import Command, Kernel
from tournee.kernel.errors import Invalid, Refused, ResyncNeeded
from tournee.sync.cursor import CursorCodec
from tournee.sync.devices import DeviceMismatch, DeviceRevoked, check_device, note_pull
from tournee.sync.messages import OPERATIONS_LIMIT
from tournee.sync.pull import DEFAULT_LIMIT, Feed, Page, records_now
from tournee.sync.push import push
from tournee.sync.surrender import surrender
from tournee.sync.wake import Wake

_LOOK_AGAIN_SECONDS = 5.0

Handler = Callable[[Request, Actor], Awaitable[Response]]


@dataclass(frozen=True)
class Sync:
    """The three endpoints over one kernel; the catalogue's commands are handed in."""

    kernel: Kernel
    commands: Mapping[str, Command[Any, Any]]
    feed: Feed
    cursors: CursorCodec
    wake: Wake
    heartbeat_seconds: float = 15.0

    def routes(self) -> list[Route]:
        return [
            Route("/sync/push", self._push_or_surrender, methods=["POST"]),
            Route("/sync/pull", _signed_in(self.pull), methods=["GET"]),
            Route("/sync/stream", _signed_in(self.stream), methods=["GET"]),
        ]

    async def _push_or_surrender(self, request: Request) -> Response:
        """A push; of a device that was revoked, what it may hand in before it erases its copy."""
        token = surrender_token(request.scope)
        if token is None:
            return await _signed_in(self.push)(request)
        device = await recognise(self.kernel.database, token)
        if device is None or not device.must_wipe:
            return unauthenticated()
        return await _answered(self._surrender(request, device))

    async def _surrender(self, request: Request, device: KnownDevice) -> Response:
        device_id, operations, _ = _envelope(await _body(request))
        if device_id != device.id:
            raise DeviceMismatch
        if not device.surrender:
            raise DeviceRevoked
        outcomes = await surrender(self.kernel, device, operations)
        said = ",".join(outcome.message_body({}) for outcome in outcomes)
        return _json(f'{{"outcomes":[{said}],"checkpoint":0,"nextNumber":null}}')

    async def push(self, request: Request, actor: Actor) -> Response:
        """Carry out what a device did; 200 whatever the business says."""
        body = await _body(request)
        device_id, operations, app = _envelope(body)
        answer = await push(self.kernel, self.commands, actor, device_id, operations, app)
        ids = [outcome.record_id for outcome in answer.outcomes if outcome.record_id is not None]
        records = await records_now(self.kernel.database, actor, ids)
        outcomes = ",".join(outcome.message_body(records) for outcome in answer.outcomes)
        number = "null" if answer.next_number is None else answer.next_number
        return _json(f'{{"outcomes":[{outcomes}],"checkpoint":{answer.checkpoint},"nextNumber":{number}}}')

    async def pull(self, request: Request, actor: Actor) -> Response:
        """One page of what changed for this person since the cursor."""
        limit = _limit(request.query_params.get("limit"))
        text = request.query_params.get("cursor")
        device_id = _device_of(request, actor)
        async with self.kernel.database.reading(actor.organisation_id) as session:
            await check_device(session, actor, device_id)
        try:
            cursor = self.cursors.decode(text, actor) if text else None
            page = await self.feed.pull(actor, cursor, limit)
        except ResyncNeeded:
            return _json('{"changes":[],"cursor":null,"more":false,"resync":true}')
        if cursor is not None and device_id is not None and not cursor.snapshot:
            await note_pull(self.kernel.database, actor, device_id, cursor.seq)
        return _json(self._page(page, actor))

    async def stream(self, request: Request, actor: Actor) -> Response:
        """The same pages live, as server-sent events; each event's id is its cursor."""
        text = request.headers.get("last-event-id") or request.query_params.get("cursor")
        device_id = _device_of(request, actor)
        async with self.kernel.database.reading(actor.organisation_id) as session:
            await check_device(session, actor, device_id)
        expires = request.scope.get("token_expires_at")
        return StreamingResponse(
            self._events(actor, text, device_id, expires),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _events(
        self, actor: Actor, text: str | None, device_id: UUID | None, expires: float | None
    ) -> AsyncIterator[str]:
        try:
            cursor = self.cursors.decode(text, actor) if text else None
            quiet_since = time.monotonic()
            yield ": connected\n\n"
            while not self.wake.closing.is_set() and (expires is None or time.time() < expires):
                async with self.kernel.database.reading(actor.organisation_id) as session:
                    await check_device(session, actor, device_id)
                page = await self.feed.pull(actor, cursor)
                if page.changes or page.cursor != cursor:
                    cursor = page.cursor
                    quiet_since = time.monotonic()
                    body = self._page(page, actor)
                    yield f"event: changes\nid: {self.cursors.encode(cursor, actor)}\ndata: {body}\n\n"
                elif time.monotonic() - quiet_since >= self.heartbeat_seconds:
                    quiet_since = time.monotonic()
                    yield ": heartbeat\n\n"
                if not page.more:
                    pause = min(self.heartbeat_seconds, _LOOK_AGAIN_SECONDS)
                    await self.wake.wait(actor.organisation_id, page.cursor.seq, pause)
        except ResyncNeeded:
            yield 'event: changes\ndata: {"changes":[],"cursor":null,"more":false,"resync":true}\n\n'
        except (DeviceRevoked, DeviceMismatch) as refusal:
            yield f"event: closed\ndata: {orjson.dumps(_error(refusal)).decode()}\n\n"

    def _page(self, page: Page, actor: Actor) -> str:
        changes = ",".join(change.json() for change in page.changes)
        cursor = self.cursors.encode(page.cursor, actor)
        more = "true" if page.more else "false"
        return f'{{"changes":[{changes}],"cursor":"{cursor}","more":{more},"resync":false}}'


def _json(body: str, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _error(refusal: Refused) -> dict[str, Any]:
    details = refusal.details or {}
    return {"error": {"code": refusal.code, "message": refusal.message, "field": refusal.field, **details}}


def _signed_in(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Hand the actor over; answer for what concerns the request as a whole."""

    async def endpoint(request: Request) -> Response:
        actor = request.scope.get("actor")
        return unauthenticated() if actor is None else await _answered(handler(request, actor))

    return endpoint


async def _answered(answer: Awaitable[Response]) -> Response:
    try:
        return await answer
    except Refused as refusal:
        status = 403 if isinstance(refusal, DeviceRevoked | DeviceMismatch) else 400
        return _json(orjson.dumps(_error(refusal)).decode(), status)


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        raise Invalid("The body is not valid JSON in UTF-8.") from None
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object.")
    return body


def _envelope(body: dict[str, Any]) -> tuple[UUID, list[Any], str | None]:
    operations = body.get("operations")
    if not isinstance(operations, list):
        raise Invalid("operations: must be a list.", "operations")
    if len(operations) > OPERATIONS_LIMIT:
        raise Invalid(f"operations: at most {OPERATIONS_LIMIT} in one push.", "operations")
    app = body.get("app")
    return (
        _uuid(body.get("device")),
        operations,
        app.replace("\x00", "")[:200] if isinstance(app, str) else None,
    )


def _uuid(value: Any) -> UUID:
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise Invalid("device: must be a UUID.", "device") from None


def _device_of(request: Request, actor: Actor) -> UUID | None:
    named = request.query_params.get("device")
    return _uuid(named) if named else actor.device_id


def _limit(value: str | None) -> int:
    if value is None:
        return DEFAULT_LIMIT
    if not value.isascii() or not value.isdigit() or len(value) > 7 or not 1 <= int(value) <= 1_000_000:
        raise Invalid("limit: must be a whole number from 1 up.", "limit")
    return int(value)
