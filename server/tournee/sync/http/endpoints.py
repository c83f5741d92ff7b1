"""The HTTP side of sync: push here, the reading half in its own modules."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tournee.auth.commands import DevicesLimit
from tournee.auth.middleware import refused, surrender_token, unauthenticated
from tournee.auth.revoked import KnownDevice, recognise
from tournee.auth.tokens import TokenRefused, Tokens
from tournee.engine.lanes import Lanes
from tournee.kernel.actor import Actor
from tournee.kernel.command import Command, Kernel
from tournee.kernel.errors import Invalid, Refused
from tournee.kernel.head import Mark, read_head
from tournee.sync.devices.locking import DeviceMismatch, DeviceRevoked
from tournee.sync.devices.report import Report
from tournee.sync.devices.surrender import surrender
from tournee.sync.http.checking import Checking
from tournee.sync.http.decoding import decode
from tournee.sync.http.door import read_uuid
from tournee.sync.http.pulling import Pull
from tournee.sync.http.stream import Stream
from tournee.sync.messages import OPERATIONS_LIMIT, SEQ_LIMIT
from tournee.sync.pull.pull import records_now
from tournee.sync.push.bases import is_over, read_marks
from tournee.sync.push.push import Answer, push
from tournee.sync.waiting.reviving import revive_after

_REVIVALS = 2

Handler = Callable[[Request, Actor], Awaitable[Response]]


@dataclass(frozen=True)
class Sync:
    """The endpoints over one kernel; the catalogue's commands are handed in."""

    kernel: Kernel
    tokens: Tokens
    commands: Mapping[str, Command[Any, Any]]
    lanes: Lanes
    pulls: Pull
    streams: Stream
    checking: Checking
    # No more at once than leave the connections to those who ask.
    revivals: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_REVIVALS))

    def routes(self) -> list[Route]:
        return [
            # Asked most often, so found first.
            *self.pulls.routes(),
            Route("/sync/push", self._push_or_surrender, methods=["POST"]),
            *self.streams.routes(),
            *self.checking.routes(),
        ]

    async def _push_or_surrender(self, request: Request) -> Response:
        """A push; of a device that was revoked, what it may hand in before it erases its copy."""
        token = surrender_token(request.scope)
        if token is None:
            return await _signed_in(self.push)(request)
        async with self.lanes.renewals.turn(None):
            device = await recognise(self.kernel.database, self.tokens, token)
        if device is None or not device.must_wipe:
            return unauthenticated()
        return await _answered(self._surrender(request, device))

    async def _surrender(self, request: Request, device: KnownDevice) -> Response:
        body = await _body(request)
        device_id, operations, _ = _envelope(body)
        if device_id != device.id:
            raise DeviceMismatch
        if not device.surrender:
            raise DeviceRevoked
        own, reading = device.actor.organisation_id, self.kernel.database.reading
        async with self.lanes.pushes.turn(device.actor.key):
            async with reading(own) as session:
                head = await read_head(session, own)
                is_lost = await is_over(session, own, head, _epoch(body), Mark.read(body.get("mark")))
            if is_lost:
                return _push_answer([], Answer([], 0, None, [], epoch=head.epoch, resync=True))
            outcomes = await surrender(self.kernel, device, operations, _schema(body), read_marks(body))
            async with reading(own) as session:
                head = await read_head(session, own)
        bodies = [outcome.message_body({}) for outcome in outcomes]
        return _push_answer(bodies, Answer(outcomes, 0, None, bodies, epoch=head.epoch, mark=head.mark))

    async def push(self, request: Request, actor: Actor) -> Response:
        """Carry out what a device did; 200 whatever the business says."""
        body = await _body(request)
        device_id, operations, app = _envelope(body)
        schema = _schema(body)
        async with self.lanes.pushes.turn(actor.key):
            answer = await push(
                *(self.kernel, self.commands, actor, device_id, operations, app, schema),
                epoch=_epoch(body),
                mark=Mark.read(body.get("mark")),
                marks=read_marks(body),
            )
        self.pulls.acknowledged.note(actor, device_id, None, Report.read(body))
        # What others have waited for concerns others, so the answer need not wait for it.
        afterwards = BackgroundTask(self._revive, actor, device_id, answer)
        return _push_answer(await self._bodies(actor, answer), answer, afterwards)

    async def _revive(self, actor: Actor, device_id: UUID, answer: Answer) -> None:
        async with self.revivals:
            await revive_after(self.kernel, self.commands, actor, device_id, answer)

    async def _bodies(self, actor: Actor, answer: Answer) -> Sequence[str]:
        """The outcomes as JSON, with the records as they now stand."""
        if not answer.unread:
            return answer.bodies
        records = await records_now(self.kernel.database, actor, list(answer.unread))
        said = zip(answer.outcomes, answer.bodies, strict=True)
        return [
            one.completed(body, records) if one.record_id in answer.unread else body for one, body in said
        ]


def _push_answer(bodies: Sequence[str], answer: Answer, background: BackgroundTask | None = None) -> Response:
    said: dict[str, Any] = {
        "checkpoint": answer.checkpoint,
        "nextNumber": answer.next_number,
        "epoch": answer.epoch,
    }
    if answer.mark is not None:
        said["mark"] = str(answer.mark)
    if answer.resync:
        said["resync"] = True
    body = f'{{"outcomes":[{",".join(bodies)}],{orjson.dumps(said).decode()[1:]}'
    return _json(body, background=background)


def _json(body: str, status: int = 200, background: BackgroundTask | None = None) -> Response:
    return Response(body, status, media_type="application/json", background=background)


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
        status = 403 if isinstance(refusal, DeviceRevoked | DeviceMismatch | DevicesLimit) else 400
        return _json(orjson.dumps(_error(refusal)).decode(), status)
    except TokenRefused as refusal:
        return refused(refusal)


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = decode(await request.body())
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
        read_uuid(body.get("device")),
        operations,
        app.replace("\x00", "")[:200] if isinstance(app, str) else None,
    )


def _epoch(body: dict[str, Any]) -> UUID | None:
    """That of the last answer, if the device says so; what cannot be read was not said."""
    try:
        return UUID(body["epoch"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _schema(body: dict[str, Any]) -> int:
    """Of the operations; an app that does not say so that it can be read is one of the first."""
    schema = body.get("schema")
    if isinstance(schema, float) and schema.is_integer() and schema <= SEQ_LIMIT:
        schema = int(schema)
    return schema if type(schema) is int and schema > 0 else 1
