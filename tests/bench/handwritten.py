"""The hand-written endpoint: the query of `reads.py` as one SQL statement, without GraphQL, sign-in or
visibility. It is the practical limit for one process of this framework, driver and server.
"""

import os

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
_idle: list[psycopg.AsyncConnection] = []


async def _visits(request: Request) -> Response:
    connection = (
        _idle.pop() if _idle else await psycopg.AsyncConnection.connect(os.environ["LIBPQ"], autocommit=True)
    )
    asked = (os.environ["ORGANISATION"], int(request.query_params["first"]))
    rows = await (await connection.execute(_VISITS, asked)).fetchall()
    _idle.append(connection)
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
