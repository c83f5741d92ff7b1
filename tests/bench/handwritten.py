"""The hand-written endpoint: the query of `reading` as one SQL statement, without GraphQL, sign-in or
visibility. It is the practical limit for one process of this framework, driver and server.
"""

import os
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import aiosqlite
import orjson
import psycopg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tournee.web.listening import BACKLOG, KEEP_ALIVE, bind, serve

_VISITS = """
SELECT a.id, a.status, a.summary, a.starts_at, c.name, s.serial_number
  FROM (SELECT * FROM appointment WHERE organisation_id = %s AND NOT deleted
         ORDER BY starts_at NULLS LAST, id LIMIT %s) AS a
  LEFT JOIN customer c ON c.organisation_id = a.organisation_id AND c.id = a.customer_id AND NOT c.deleted
  LEFT JOIN asset s ON s.organisation_id = a.organisation_id AND s.id = a.asset_id AND NOT s.deleted
 ORDER BY a.starts_at NULLS LAST, a.id
"""
_idle: list[Any] = []


async def _on_postgresql(first: int) -> Sequence[Any]:
    connection = (
        _idle.pop() if _idle else await psycopg.AsyncConnection.connect(os.environ["LIBPQ"], autocommit=True)
    )
    rows = await (await connection.execute(_VISITS, (os.environ["ORGANISATION"], first))).fetchall()
    _idle.append(connection)
    return rows


async def _on_sqlite(first: int) -> Sequence[Any]:
    connection = _idle.pop() if _idle else await aiosqlite.connect(os.environ["SQLITE"])
    asked = (UUID(os.environ["ORGANISATION"]).hex, first)
    rows = await connection.execute_fetchall(_VISITS.replace("%s", "?"), asked)
    _idle.append(connection)
    return [
        (str(UUID(id)), status, summary, f"{starts_at.replace(' ', 'T').removesuffix('.000000')}Z", *rest)
        for id, status, summary, starts_at, *rest in rows
    ]


async def _visits(request: Request) -> Response:
    read = _on_sqlite if "SQLITE" in os.environ else _on_postgresql
    rows = await read(int(request.query_params["first"]))
    nodes = [
        {
            "id": id, "status": status, "summary": summary, "startsAt": starts_at,
            "customer": {"name": customer}, "asset": {"serialNumber": serial},
        }
        for id, status, summary, starts_at, customer, serial in rows
    ]  # fmt: skip
    body = orjson.dumps({"data": {"appointments": {"nodes": nodes}}}, option=orjson.OPT_UTC_Z)
    return Response(body, media_type="application/json")


app = Starlette(routes=[Route("/visits", _visits)])

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
