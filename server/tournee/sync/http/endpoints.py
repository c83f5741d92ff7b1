"""The endpoints of sync: push here, and the reading ones in their own modules."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

import orjson
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tournee.auth.commands import DevicesLimit
from tournee.auth.middleware import refused, surrender_token, unauthenticated
from tournee.auth.revoked import recognise
from tournee.auth.tokens import TokenRefused, Tokens
from tournee.engine.lanes import Lanes
from tournee.kernel.actor import Actor
from tournee.kernel.command import Command, Kernel
from tournee.kernel.errors import Invalid, Refused
from tournee.kernel.head import read_head
from tournee.sync.devices.history import history_of
from tournee.sync.devices.locking import DeviceMismatch, DeviceRevoked
from tournee.sync.devices.report import Report
from tournee.sync.devices.surrender import surrender
from tournee.sync.http.checking import Checking
from tournee.sync.http.decoding import decode
from tournee.sync.http.pull import PullEndpoint
from tournee.sync.http.stream import Stream
from tournee.sync.pull.feed import records_now
from tournee.sync.push.push import Answer, push
from tournee.sync.push.request import PushRequest
from tournee.sync.waiting.reviving import revive_after

_REVIVALS = 2

EndpointT = TypeVar("EndpointT")


def answering(
    endpoint: Callable[[EndpointT, Request], Awaitable[Response]],
) -> Callable[[EndpointT, Request], Awaitable[Response]]:
    """Turn a refusal of the request as a whole into its response."""

    @wraps(endpoint)
    async def answered(self: EndpointT, request: Request) -> Response:
        try:
            return await endpoint(self, request)
        except Refused as refusal:
            status = 403 if isinstance(refusal, DeviceRevoked | DeviceMismatch | DevicesLimit) else 400
            return _json(orjson.dumps(_error(refusal)).decode(), status)
        except TokenRefused as refusal:
            return refused(refusal)

    return answered


@dataclass(frozen=True)
class SyncEndpoints:
    """The endpoints of one server; it passes in the catalogue's commands."""

    kernel: Kernel
    tokens: Tokens
    commands: Mapping[str, Command[Any, Any]]
    lanes: Lanes
    pulls: PullEndpoint
    streams: Stream
    checking: Checking
    # Limits revivals, so that requests still find free connections.
    revivals: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_REVIVALS))

    def routes(self) -> list[Route]:
        return [
            # Pulls are the most frequent requests, so match them first.
            *self.pulls.routes(),
            Route("/sync/push", self.push, methods=["POST"]),
            *self.streams.routes(),
            *self.checking.routes(),
        ]

    @answering
    async def push(self, request: Request) -> Response:
        """Carry out what a device did. The status is 200 whatever the outcomes are.

        A device that was revoked may surrender its outbox before it erases its copy.
        """
        token = surrender_token(request.scope)
        if token is not None:
            return await self._surrender(request, token)
        actor: Actor | None = request.scope.get("actor")
        if actor is None:
            return unauthenticated()
        body = await _body(request)
        asked = PushRequest.read(body)
        async with self.lanes.pushes.turn(actor.key):
            answer = await push(self.kernel, self.commands, actor, asked)
        self.pulls.acknowledged.note(actor, asked.device_id, None, Report.read(body))
        # Operations of other devices that can go on now need not delay this answer.
        afterwards = BackgroundTask(self._revive, actor, asked.device_id, answer)
        return _push_answer(await self._bodies(actor, answer), answer, afterwards)

    async def _surrender(self, request: Request, token: str) -> Response:
        async with self.lanes.renewals.turn(None):
            device = await recognise(self.kernel.database, self.tokens, token)
        if device is None or not device.must_wipe:
            return unauthenticated()
        asked = PushRequest.read(await _body(request))
        if asked.device_id != device.id:
            raise DeviceMismatch
        if not device.surrender:
            raise DeviceRevoked
        own, reading = device.actor.organisation_id, self.kernel.database.reading
        async with self.lanes.pushes.turn(device.actor.key):
            async with reading(own) as session:
                head = await read_head(session)
                history = await history_of(session, asked, head.epoch, head.seq)
            if history.is_lost:
                return _push_answer([], Answer([], 0, None, [], epoch=head.epoch, resync=True))
            outcomes = await surrender(self.kernel, device, asked)
            async with reading(own) as session:
                head = await read_head(session)
        bodies = [outcome.message_body({}) for outcome in outcomes]
        return _push_answer(bodies, Answer(outcomes, 0, None, bodies, epoch=head.epoch, mark=head.mark))

    async def _revive(self, actor: Actor, device_id: UUID, answer: Answer) -> None:
        async with self.revivals:
            await revive_after(self.kernel, self.commands, actor, device_id, answer)

    async def _bodies(self, actor: Actor, answer: Answer) -> Sequence[str]:
        """Return the outcomes as JSON, with the records as they stand now."""
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


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = decode(await request.body())
    except orjson.JSONDecodeError:
        raise Invalid("The body is not valid JSON in UTF-8.") from None
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object.")
    return body
