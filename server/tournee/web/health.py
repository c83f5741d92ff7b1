"""Health: whether the process is alive, and whether it can serve."""

from __future__ import annotations

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tournee.answers import Json, coded
from tournee.engine.database import Database
from tournee.engine.storage import why_not_stored
from tournee.kernel.outages import DatabaseAway, outage_of
from tournee.migrations import can_be_served
from tournee.web.overload import come_back


def health_routes(database: Database) -> list[Route]:
    """Return the routes `/healthz` and `/readyz`."""

    async def healthz(_request: Request) -> Response:
        """Answer that the process is alive; this does not ask the database."""
        return Json({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        """Answer whether the database responds, has our newest migration, and has space again after it
        was full.
        """
        try:
            async with database.connecting() as connection:
                migrated = await connection.run_sync(can_be_served)
        except (SQLAlchemyError, psycopg.Error, OSError) as error:
            structlog.get_logger().warning("not_ready", error=repr(error)[:300])
            return come_back(outage_of(error) or DatabaseAway())
        if not migrated:
            return coded(503, "MIGRATIONS_PENDING", "The database waits for this version's migrations.")
        if (outage := await why_not_stored(database)) is not None:
            structlog.get_logger().warning("not_ready", code=outage.code)
            return come_back(outage)
        return Json({"status": "ready"})

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
