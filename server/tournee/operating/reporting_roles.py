"""Bind roles of PostgreSQL to one organisation, whose reporting views they read."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, text

from tournee.auth.database_roles import DatabaseRole
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.errors import Invalid, NotFound
from tournee.reporting.views import grant

_ROLE = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = :role")
_OURS = text("SELECT :role IN (session_user, current_user)")


async def bind(database: Database, role: str, organisation_id: UUID) -> None:
    """Let the role read the views of this organisation, and of no other. Raises NotFound and Invalid."""
    if database.is_sqlite:
        raise Invalid(
            "SQLite has no roles: anyone who may read the file reads the views of all organisations."
        )
    async with database.writing(ACROSS) as session:
        powerful = await session.scalar(_ROLE, {"role": role})
        if powerful is None:
            raise NotFound(f"PostgreSQL has no role {role}: create it as a superuser.\n{setup(role)}")
        if powerful or await session.scalar(_OURS, {"role": role}):
            raise Invalid(f"{role} reads every table: create a role for reports.\n{setup(role)}")
        bound = session.statements.insert(DatabaseRole).values(
            role=role, seen_organisation_id=organisation_id
        )
        same = {"seen_organisation_id": organisation_id}
        await session.execute(bound.on_conflict_do_update(index_elements=[DatabaseRole.role], set_=same))

        def granted(connection: Connection) -> None:
            grant(connection, role)

        await (await session.connection()).run_sync(granted)
        await session.commit()


def setup(role: str) -> str:
    """Return the statements that a superuser runs to create such a role."""
    named = '"' + role.replace('"', '""') + '"'
    return (
        f"CREATE ROLE {named} LOGIN PASSWORD '…' NOSUPERUSER NOBYPASSRLS;\n"
        f"ALTER ROLE {named} SET tournee.organisation = '*';\n"
        f"ALTER ROLE {named} SET default_transaction_read_only = on;"
    )
