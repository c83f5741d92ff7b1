"""GraphQL over HTTP and WebSockets, as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Any

import orjson
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.graphql import OperationType

from tournee.api.context import Context
from tournee.api.documents import is_query, is_subscription
from tournee.api.errors import NO_OPERATION, coded
from tournee.api.http.leaving import UntilItLeaves
from tournee.api.http.streams import FRAMINGS, Stream, pieces
from tournee.api.http.trusted import Documents, trusted_documents
from tournee.api.limits import MOST_BYTES
from tournee.api.reading.engine import Reads
from tournee.api.requests import EVENTS, GRAPHQL, MULTIPART, Asked, BadRequest, idempotency, preferred, read
from tournee.api.schema import schema
from tournee.api.sockets import Socket, TextAdapter, token_check
from tournee.catalogue import ENTITIES
from tournee.kernel.command import Kernel
from tournee.kernel.entity import new_id
from tournee.kernel.outages import MOMENT, DatabaseAway
from tournee.settings import Settings
from tournee.sync.http.wake import Wake
from tournee.sync.pull.feed import Feed

_QUERY, _MUTATION, _SUBSCRIPTION = OperationType.QUERY, OperationType.MUTATION, OperationType.SUBSCRIPTION


def graphql_app(
    kernel: Kernel, settings: Settings, wake: Wake | None = None, feed: Feed | None = None
) -> ASGIApp:
    """Return the endpoint /graphql. The actor is in `scope["actor"]`; a WebSocket may also sign in later."""
    return Endpoint(kernel, settings, wake, feed)


class Endpoint(GraphQL[None, None]):
    """Answers HTTP itself, and leaves WebSockets to Strawberry, with a handler that trusts nothing it
    reads.
    """

    graphql_transport_ws_handler_class = Socket
    websocket_adapter_class = TextAdapter

    def __init__(
        self, kernel: Kernel, settings: Settings, wake: Wake | None, feed: Feed | None = None
    ) -> None:
        # A browser never adds a token by itself, as it does cookies, so any page that has one may connect.
        served = schema()
        super().__init__(
            served,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            allowed_origins=("*",),
        )
        self.core = served._schema  # noqa: SLF001 - Strawberry offers no other way to it
        self.kernel = kernel
        self.reads = Reads(kernel, self.core)
        self.wake = wake
        self.feed = feed or Feed(kernel.database, tuple(ENTITIES.values()))
        self.heartbeat_seconds = settings.heartbeat_seconds
        self.horizon_days = settings.horizon_days
        self.introspection = settings.introspection
        self.suggestions = settings.suggestions
        self.cost_limit = settings.cost_limit
        trusted = trusted_documents(settings.trusted_documents)
        self.documents = Documents(trusted, only=settings.trusted_only)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if self.feed.lanes.streams.is_full:
                raise self.feed.lanes.streams.overloaded()
            await super().__call__(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            answer = await self.answer(request)
        except BadRequest as bad:
            errors = [coded(str(bad), bad.code)]
            answer = _json({"errors": [error.formatted for error in errors]}, bad.status)
            answer.headers.update(bad.headers)
        await answer(scope, receive, send)

    def context_for(self, scope: Scope) -> Context:
        """Return the context of the scope's actor."""
        return Context(
            self.kernel,
            scope["actor"],
            self.feed,
            self.wake,
            scope.get("request_id") or str(new_id()),
            horizon_days=self.horizon_days,
            introspection=self.introspection,
            suggestions=self.suggestions,
            cost_limit=self.cost_limit,
        )

    def _context(self, request: Request, asked: Asked) -> Context:
        context = self.context_for(request.scope)
        context.idempotency = idempotency(request, asked)
        context.wants_cost = asked.wants_cost
        return context

    def decode_json(self, data: str | bytes) -> object:
        """Read a message of a WebSocket as strictly as the body of a request."""
        if len(data) > MOST_BYTES:
            raise orjson.JSONDecodeError("too long", "", 0)
        return orjson.loads(data)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> None:
        """Return nothing: a WebSocket's context is made when its first message has signed in."""

    async def answer(self, request: Request) -> Response:
        if request.scope.get("actor") is None:
            raise BadRequest(
                401,
                "UNAUTHENTICATED",
                "Sign in and send the access token.",
                {"WWW-Authenticate": "Bearer"},
            )
        media = preferred(request.headers.get("accept"))
        asked = await read(request, partial(self.documents.text, account=request.scope["actor"].key))
        allowed = {_QUERY} if request.method == "GET" else {_QUERY, _MUTATION}
        if media in FRAMINGS:
            return await self._stream(request, asked, {*allowed, _SUBSCRIPTION}, media)
        return await self._one(request, asked, allowed, media)

    async def _one(self, request: Request, asked: Asked, allowed: set[OperationType], media: str) -> Response:
        context = self._context(request, asked)
        try:
            with UntilItLeaves(request.receive, partial(self._is_query, asked, context)):
                async with self.feed.lanes.queries.turn(request.scope["actor"].key):
                    body = await self.reads.answer(asked, context)
                    if body is not None:
                        return Response(body, media_type=f"{media}; charset=utf-8")
                    result = await self._execute(request, asked, allowed)
        except (CannotGetOperationTypeError, MissingQueryError):
            raise BadRequest(400, "BAD_REQUEST", NO_OPERATION) from None
        except InvalidOperationTypeError as error:
            raise _not_this_way(error) from None
        status = 200
        if media == GRAPHQL and (codes := _request_errors(result)):
            status = 403 if "FORBIDDEN" in codes else 400
        return _json(_body(result), status, media)

    def _is_query(self, asked: Asked, context: Context) -> bool:
        return is_query(self.core, asked.query, asked.operation_name, context)

    async def _execute(self, request: Request, asked: Asked, allowed: set[OperationType]) -> Any:
        result = await self._once(request, asked, allowed)
        if any((error.extensions or {}).get("code") == DatabaseAway.code for error in result.errors or ()):
            await asyncio.sleep(MOMENT)
            # Mutations were retried already, where that was safe (Kernel.transact).
            with contextlib.suppress(InvalidOperationTypeError):
                return await self._once(request, asked, {_QUERY})
        return result

    async def _once(self, request: Request, asked: Asked, allowed: set[OperationType]) -> Any:
        context = self._context(request, asked)
        return await self.schema.execute(
            asked.query,
            variable_values=asked.variables,
            operation_name=asked.operation_name,
            context_value=context,
            allowed_operation_types=allowed,
        )

    async def _stream(
        self, request: Request, asked: Asked, allowed: set[OperationType], media: str
    ) -> Response:
        context = self._context(request, asked)
        context.authorise = token_check(request.scope, self.feed)
        source = await self.schema.stream(
            asked.query,
            variable_values=asked.variables,
            operation_name=asked.operation_name,
            context_value=context,
            allowed_operation_types=allowed,
        )
        lanes, account = self.feed.lanes, request.scope["actor"].key
        places = [lanes.streams.turn(account)]
        if not is_subscription(self.core, asked.query, asked.operation_name, context):
            places.append(lanes.queries.turn(account))
        framing = FRAMINGS[media]
        return Stream(framing, pieces(framing, source, _body, self.heartbeat_seconds), places)


def _not_this_way(error: InvalidOperationTypeError) -> BadRequest:
    if error.operation_type is _SUBSCRIPTION:
        return BadRequest(
            406, "NOT_ACCEPTABLE", f"Subscriptions come as {EVENTS} or {MULTIPART}, or by WebSocket."
        )
    return BadRequest(405, "METHOD_NOT_ALLOWED", "Send mutations by POST.", {"Allow": "POST"})


def _json(content: Any, status: int = 200, media: str = "application/json") -> Response:
    return Response(orjson.dumps(content), status, media_type=f"{media}; charset=utf-8")


def _request_errors(result: Any) -> set[str]:
    """Return the codes of errors that prevented execution; empty if it was executed."""
    errors: list[GraphQLError] = result.errors or []
    if result.data is not None or any(error.path for error in errors):
        return set()
    return {str((error.extensions or {}).get("code")) for error in errors}


def _body(result: Any) -> dict[str, Any]:
    body: dict[str, Any] = {} if _request_errors(result) else {"data": result.data}
    if result.errors:
        body["errors"] = [error.formatted for error in result.errors]
    if result.extensions:
        body["extensions"] = result.extensions
    return body
