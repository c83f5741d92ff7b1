"""The endpoint that does nothing: the cost of the framework and the server alone."""

import os

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tournee.web.listening import BACKLOG, KEEP_ALIVE, bind, serve


async def _nothing(_request: Request) -> Response:
    return Response(b"{}", media_type="application/json")


app = Starlette(routes=[Route("/nothing", _nothing)])

if __name__ == "__main__":
    serve(
        uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            access_log=False,
            log_level="warning",
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
        ),
        bind("127.0.0.1", int(os.environ["PORT"])),
    )
