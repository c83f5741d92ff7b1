"""Whether we live, and whether we can serve."""

from __future__ import annotations

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tournee.answers import Json, coded
from tournee.kernel.database import Database
from tournee.migrations import is_current


def health_routes(database: Database) -> list[Route]:
    """`/healthz` and `/readyz`."""

    async def healthz(_request: Request) -> Response:
        """The process answers; says nothing of the database."""
        return Json({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        """The database answers and is at our newest migration."""
        try:
            async with database.connecting() as connection:
                current = await connection.run_sync(is_current)
        except (SQLAlchemyError, OSError) as error:
            structlog.get_logger().warning("database_unreachable", error=repr(error))
            return coded(503, "DATABASE_UNREACHABLE", "The database cannot be reached.")
        if not current:
            return coded(503, "MIGRATIONS_PENDING", "The database is not at the newest migration.")
        return Json({"status": "ready"})

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
