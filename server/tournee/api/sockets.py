"""GraphQL over WebSockets (graphql-transport-ws): who connects, and which messages are accepted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import orjson
from starlette.types import Scope
from starlette.websockets import WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)

from tournee.answers import SlowReader, patiently
from tournee.api.documents import is_subscription
from tournee.api.errors import coded, come_back
from tournee.api.requests import BadRequest, asked
from tournee.auth.middleware import log_refused
from tournee.auth.tokens import TokenRefused
from tournee.kernel.actor import AccountKey
from tournee.kernel.outages import Overloaded, outage_of
from tournee.sync.pull.feed import Feed

# The most operations that one connection may have under way, and the longest id of an operation.
MOST_OPERATIONS = 100
MOST_ID = 64

# A longer close reason would break the protocol.
_MOST_REASON = 120

# How long an expired or revoked token still works on an open connection. All connections share one look at
# the log, and read an account's standing only if it has changed.
CHECK_SECONDS = 1.0


def token_in(headers: Any) -> str | None:
    """Return the token of `Authorization: Bearer …`, from headers or from the payload of connection_init."""
    if not isinstance(headers, Mapping):
        return None
    for name, value in headers.items():
        if isinstance(name, str) and name.lower() == "authorization" and isinstance(value, str):
            scheme, _, token = value.strip().partition(" ")
            return token.strip() if scheme.lower() == "bearer" and token.strip() else None
    return token_in(headers.get("headers"))


def token_check(
    scope: Scope, feed: Feed | None = None, token: str | None = None
) -> Callable[[], Awaitable[None]]:
    """Return a check that raises TokenRefused once the token is no longer valid."""
    authenticate, require = scope.get("authenticate"), scope.get("require")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    known = token or token_in(headers)

    async def check() -> None:
        if authenticate is not None and known is not None:
            actor = await authenticate(known)
            if require is not None and feed is not None and feed.tail is not None:
                await require(actor, await feed.tail.now(actor.organisation_id))

    return check


class TextAdapter(ASGIWebSocketAdapter):
    """Sends messages as text: browser clients do not read binary ones. Closes with 1013 for a slow reader."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        try:
            await patiently(self.ws.send_text(orjson.dumps(message).decode()))
        except SlowReader as error:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, SlowReader):
                await patiently(self.ws.close(1013, "SLOW_READER; resume from your last cursor"))
            raise WebSocketDisconnected from error
        except (WebSocketDisconnect, RuntimeError) as error:
            raise WebSocketDisconnected from error


class Socket(BaseGraphQLTransportWSHandler[Any, None]):
    """One connection, with a place among the streams.

    It closes with 4400 for a malformed message, 4401 for a refused token, 1013 if there is no place.
    """

    watch: asyncio.Task[None] | None = None
    place: AbstractAsyncContextManager[None] | None = None

    async def handle_message(self, message: Any) -> None:
        if not _well_formed(message):
            await self.handle_invalid_message("This is not a message of graphql-transport-ws")
            return
        await super().handle_message(message)

    async def handle_invalid_message(self, error_message: str) -> None:
        await super().handle_invalid_message(error_message.encode()[:_MOST_REASON].decode(errors="ignore"))

    async def handle_subscribe(self, message: Any) -> None:
        id = message["id"]
        if (
            self.connection_acknowledged
            and id not in self.operations
            and len(self.operations) >= MOST_OPERATIONS
        ):
            text = f"A connection has at most {MOST_OPERATIONS} operations under way; end one first."
            errors = [coded(text, "TOO_MANY_AT_ONCE").formatted]
            await self.send_message({"id": id, "type": "error", "payload": errors})
            return
        if self.connection_acknowledged:
            try:
                query = self._query(message["payload"])
            except BadRequest as bad:
                errors = [coded(str(bad), bad.code).formatted]
                await self.send_message({"id": id, "type": "error", "payload": errors})
                return
            message = {**message, "payload": {**message["payload"], "query": query}}
        await super().handle_subscribe(message)

    def _query(self, payload: Mapping[str, Any]) -> str:
        documents = self.view.documents  # type: ignore[attr-defined]
        return asked(payload, partial(documents.text, account=self.context.actor.key)).query

    async def handle_connection_init(self, message: Any) -> None:
        if not self.connection_init_received:
            scope = self.websocket.ws.scope  # type: ignore[attr-defined]
            try:
                check = await self._sign_in(scope, token_in(message.get("payload")))
                await self._take_place(scope["actor"].key)
            except TokenRefused as refusal:
                await self._turn_away(refusal)
                return
            except Exception as error:
                outage = outage_of(error)
                if outage is None:
                    raise
                await self.websocket.close(1013, f"{outage.code}; come back in {outage.retry_after} s")
                return
            self.context = self.view.context_for(scope)  # type: ignore[attr-defined]
            self.watch = asyncio.create_task(self._watch(check))
        await super().handle_connection_init(message)

    async def _sign_in(self, scope: Scope, token: str | None) -> Callable[[], Awaitable[None]]:
        authenticate = scope.get("authenticate")
        if token is not None and authenticate is not None:
            scope["actor"] = await authenticate(token)
        if scope.get("actor") is None:
            raise TokenRefused("UNAUTHENTICATED", "Sign in and send the access token.")
        return token_check(scope, self.view.feed, token)  # type: ignore[attr-defined]

    async def _take_place(self, account: AccountKey) -> None:
        place = self._feed.lanes.streams.turn(account)
        await place.__aenter__()
        self.place = place

    @property
    def _feed(self) -> Feed:
        feed: Feed = self.view.feed  # type: ignore[attr-defined]
        return feed

    async def run_operation(self, operation: Operation[Any, None]) -> None:
        """What is answered once takes a turn, as it does over HTTP; what goes on has the socket's place."""
        core = self.view.core  # type: ignore[attr-defined]
        if is_subscription(core, operation.query, operation.operation_name, self.context):
            await super().run_operation(operation)
            return
        try:
            async with self._feed.lanes.queries.turn(self.context.actor.key):
                await super().run_operation(operation)
        except Overloaded as cause:
            await operation.send_initial_errors([come_back(cause)])

    async def _watch(self, check: Callable[[], Awaitable[None]]) -> None:
        try:
            while True:
                await asyncio.sleep(CHECK_SECONDS)
                await _unless_away(check)
        except TokenRefused as refusal:
            await self._turn_away(refusal)

    async def _turn_away(self, refusal: TokenRefused) -> None:
        log_refused(refusal)
        # Not 4403, after which clients would reconnect again and again.
        with contextlib.suppress(RuntimeError):
            await self.websocket.close(4401, refusal.code)

    async def shutdown(self) -> None:
        if self.watch is not None:
            self.watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.watch
        await super().shutdown()
        if self.place is not None:
            await self.place.__aexit__(None, None, None)


def _well_formed(message: Any) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return False
    kind, payload = message["type"], message.get("payload")
    id = message.get("id")
    if kind in ("subscribe", "complete") and not (isinstance(id, str) and 0 < len(id) <= MOST_ID):
        return False
    if kind == "subscribe":
        return (
            isinstance(payload, dict)
            and isinstance(payload.get("query"), (str, type(None)))
            and isinstance(payload.get("variables"), (dict, type(None)))
            and isinstance(payload.get("operationName"), (str, type(None)))
        )
    return isinstance(payload, (dict, type(None)))


async def _unless_away(check: Callable[[], Awaitable[None]]) -> None:
    """Check who holds the socket; while the database is away nothing can be checked, nor read."""
    try:
        await check()
    except Exception as error:
        if outage_of(error) is None:
            raise
