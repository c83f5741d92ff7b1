"""A minimal application as a program, with the server's own code for listening and stopping."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tournee.web.connections import Connection
from tournee.web.listening import bind, serve
from tournee.web.stopping import at_the_signal_to_stop


@asynccontextmanager
async def _running(_app: Starlette) -> AsyncIterator[None]:
    with at_the_signal_to_stop(lambda: None):
        yield


async def _length(request: Request) -> Response:
    length = len(await request.body())
    await asyncio.sleep(0.005)
    return PlainTextResponse(str(length))


app = Starlette(routes=[Route("/", _length, methods=["POST"])], lifespan=_running)

if __name__ == "__main__":
    port, workers = (int(argument) for argument in sys.argv[1:])
    serve(
        uvicorn.Config(
            "tests.web.small:app",
            workers=workers,
            http=Connection,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=20,
            timeout_worker_healthcheck=60,
        ),
        bind("127.0.0.1", port),
    )
