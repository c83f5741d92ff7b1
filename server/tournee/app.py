"""The ASGI application: its routes, middleware and lifespan."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from tournee.answers import coded
from tournee.api.app import graphql_app
from tournee.auth.authenticate import Authenticator
from tournee.auth.endpoints import PATHS as AUTH_PATHS
from tournee.auth.endpoints import Endpoints
from tournee.auth.keys.ring import KeyRing
from tournee.auth.middleware import AuthenticationMiddleware
from tournee.auth.sessions import Sessions
from tournee.auth.tokens import Tokens
from tournee.catalogue import COMMANDS, ENTITIES, MEMBERSHIPS, sync_contract, urgent_scopes
from tournee.delivery.sending import Sender
from tournee.delivery.worker import Deliveries
from tournee.engine.database import Database
from tournee.engine.heads import Heads
from tournee.engine.lanes import Lanes
from tournee.engine.replica import Replica
from tournee.engine.tail import Tail
from tournee.housekeeping import keep_house
from tournee.kernel.command import Kernel
from tournee.logs import configure_logs
from tournee.settings import Settings, read_settings
from tournee.sync.devices.acknowledged import Acknowledged
from tournee.sync.http.checking import Checking
from tournee.sync.http.contract_route import contract_route
from tournee.sync.http.door import Door
from tournee.sync.http.endpoints import SyncEndpoints
from tournee.sync.http.pull import PullEndpoint
from tournee.sync.http.stream import Stream
from tournee.sync.http.wake import Wake
from tournee.sync.pull.cursor import CursorCodec
from tournee.sync.pull.feed import Feed
from tournee.sync.waiting.reviving import reviving
from tournee.web.addresses import AddressMiddleware
from tournee.web.admission import AdmissionMiddleware
from tournee.web.bodies import BodyMiddleware, DrainMiddleware
from tournee.web.health import health_routes
from tournee.web.hosts import HostMiddleware
from tournee.web.metrics import metrics_route
from tournee.web.middleware import RequestMiddleware
from tournee.web.pages import ide_first, page_routes
from tournee.web.stopping import at_the_signal_to_stop

# Paths that ignore the token in the header: an expired one must not prevent getting a new one.
_PUBLIC = AUTH_PATHS | {"/", "/healthz", "/readyz", "/metrics"}


def create() -> Starlette:
    """Return the application, configured by the environment; ASGI servers call this."""
    settings = read_settings()
    configure_logs(settings.log_format)
    app = create_app(settings)
    pass_over_what_stays()
    return app


def pass_over_what_stays() -> None:
    """Let the garbage collector look for cycles only among objects that requests make.

    Most objects of a process are classes, statements and the schema, which stay until it ends. Scanning
    them takes a quarter of a second in which nobody is served.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


class Parts:
    """The parts of the server; each endpoint gets what it needs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = database = Database(settings.database_url, prepares=settings.prepared_statements)
        self.tokens = Tokens(settings, KeyRing(database, settings))
        self.authenticator = Authenticator(database, self.tokens)
        self.heads = Heads(database)
        tail = Tail(database, self.heads)
        listen_url = settings.listen_url
        self.wake = Wake(database, self.heads, tail.now, self.authenticator.ask_anew, listen_url)
        self.replica = self._replica(settings)
        self.kernel = Kernel(
            database, MEMBERSHIPS, reviving(COMMANDS), self.replica, settings.query_seconds or None
        )
        self.acknowledged = Acknowledged(database)
        self.lanes = Lanes()
        self.door = Door(database, tail, self.authenticator)
        self.feed = Feed(database, tuple(ENTITIES.values()), tail, urgent_scopes, self.lanes)

    def _replica(self, settings: Settings) -> Replica | None:
        if not settings.read_url:
            return None
        replica = Database(settings.read_url, prepares=settings.prepared_statements)
        return Replica(self.database, replica, self.heads, self.wake)

    @asynccontextmanager
    async def running(self, _app: Starlette) -> AsyncIterator[None]:
        """Run the background tasks from the start of the server to its end."""
        await self.tokens.ring.start()
        await self.wake.start()
        sender = Sender(private=self.settings.webhook_private_addresses)
        deliveries = asyncio.create_task(Deliveries(self.database, self.wake, sender).run())
        house = asyncio.create_task(keep_house(self.kernel, self.settings, self.wake.closing))
        try:
            with at_the_signal_to_stop(self.wake.close):
                yield
        finally:
            await self.wake.stop()
            await house
            await deliveries
            await sender.close()
            await self.acknowledged.close()
            await self.heads.close()
            await self.tokens.ring.stop()
            if self.replica is not None:
                await self.replica.close()
            await self.database.close()


def create_app(settings: Settings) -> Starlette:
    """Return the whole server."""
    parts = Parts(settings)
    app = Starlette(
        routes=_routes(parts),
        middleware=[
            Middleware(AddressMiddleware, trusted=settings.trusted_proxies),
            # Outside of everything that may answer before it has read the body.
            Middleware(DrainMiddleware, most=4 * settings.body_limit),
            Middleware(RequestMiddleware),
            Middleware(HostMiddleware, settings=settings),
            *_pages_elsewhere(settings),
            Middleware(BodyMiddleware, limit=settings.body_limit),
            Middleware(AdmissionMiddleware, path="/sync/push", lane=parts.lanes.pushes),
            Middleware(AuthenticationMiddleware, authenticator=parts.authenticator, public=_PUBLIC),
        ],
        exception_handlers={HTTPException: _http_error},
        lifespan=parts.running,
    )
    # Such a redirect would repeat any host that the request names.
    app.router.redirect_slashes = False
    # For tests and tools; requests get what they need from their endpoint.
    for name in ("kernel", "tokens", "authenticator", "wake", "lanes", "acknowledged"):
        setattr(app.state, name, getattr(parts, name))
    return app


def _pages_elsewhere(settings: Settings) -> list[Middleware]:
    """Allow the configured origins. Credentials stay off, because tokens come in a header, not in cookies."""
    if not settings.web_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.web_origins,
            allow_methods=["GET", "POST"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "If-None-Match",
                "Last-Event-ID",
                "X-Request-Id",
            ],
            expose_headers=["ETag", "Retry-After", "WWW-Authenticate", "X-Request-Id"],
        )
    ]


def _routes(parts: Parts) -> list[BaseRoute]:
    return [
        *_sync(parts).routes(),
        *Endpoints(Sessions(parts.kernel, parts.tokens), parts.lanes).routes(),
        *health_routes(parts.database),
        metrics_route(parts.settings.metrics_token),
        contract_route(sync_contract(parts.settings.horizon_days)),
        *_graphql(parts),
        *page_routes(demo=parts.settings.is_demo),
    ]


def _sync(parts: Parts) -> SyncEndpoints:
    door, feed, lanes = parts.door, parts.feed, parts.lanes
    cursors = CursorCodec(parts.tokens.ring.cursor_keys, parts.tokens.ring.learn_any)
    pulls = PullEndpoint(door, feed, cursors, parts.acknowledged)
    streams = Stream(door, feed, cursors, parts.wake, lanes.streams, parts.settings.heartbeat_seconds)
    checking = Checking(door, feed, cursors)
    return SyncEndpoints(parts.kernel, parts.tokens, COMMANDS, lanes, pulls, streams, checking)


def _graphql(parts: Parts) -> list[BaseRoute]:
    served = graphql_app(parts.kernel, parts.settings, parts.wake, parts.feed)
    served = ide_first(served, demo=parts.settings.is_demo)
    return [Route("/graphql", served), WebSocketRoute("/graphql", served)]


_CODES = {400: "MALFORMED", 404: "NO_SUCH_PATH", 405: "METHOD_NOT_ALLOWED", 413: "TOO_LARGE"}


async def _http_error(_request: Request, error: Exception) -> Response:
    """Return an error that Starlette raised by itself, in the form of our other errors."""
    refused = cast(HTTPException, error)
    code = _CODES.get(refused.status_code, HTTPStatus(refused.status_code).name)
    return coded(refused.status_code, code, f"{refused.detail}.", headers=refused.headers)
