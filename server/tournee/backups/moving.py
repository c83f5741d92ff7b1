"""Moves one organisation to another database: to a file and from there, between SQLite and PostgreSQL too.

Everything goes with it, as it was at one number of its log: log, records, edges, memberships, receipts, what
waits, accounts, devices and their refresh tokens. Its devices go on with their cursors, because the file also
has the keys that verify these. Access tokens end, and apps renew them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from sqlalchemy import Table, select
from sqlalchemy.exc import IntegrityError

from tournee import migrations
from tournee.auth.keys.models import Purpose
from tournee.auth.keys.store import KeyStore
from tournee.auth.organisations import organisation_exists
from tournee.backups import archive, files, rows
from tournee.backups.archive import Archive, BackupFailed, Kind, Manifest, OneOrganisation
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.engine.statements import OrganisationSession
from tournee.kernel.entity import Organisation
from tournee.kernel.log import Head

# Longer than any row: a request has at most TOURNEE_BODY_LIMIT bytes.
_LONGEST_LINE = 1 << 28
_BUFFER = 1 << 20


async def export(database: Database, keys: KeyStore, organisation_id: UUID, target: Path) -> Manifest:
    """Write the organisation to a new file, which appears only after it was read and checked."""
    files.require_new(target)
    cursor_keys = [one.secret for one in await keys.read() if one.purpose is Purpose.CURSORS]
    with files.aside(target) as part:
        async with database.reading(organisation_id) as session:
            manifest = await _manifest(session, organisation_id)
            with archive.writing(part, manifest) as member:
                member.write(rows.dump_keys(cursor_keys))
                await _write(session, organisation_id, member)
        _check(archive.read(part))
        files.appear(part, target)
    return manifest


async def _manifest(session: OrganisationSession, organisation_id: UUID) -> Manifest:
    connection = await session.connection()
    counts = {
        one.name: int(await connection.scalar(rows.counting(one, organisation_id)) or 0)
        for one in rows.TABLES
    }
    named = select(Organisation.name, Head.seq).where(Organisation.id == organisation_id)
    name, seq = (await session.execute(named.join(Head, Head.organisation_id == Organisation.id))).one()
    (revision,) = await connection.run_sync(migrations.revisions)
    return Manifest(
        kind=Kind.ORGANISATION,
        revision=revision,
        tables=counts,
        organisation=OneOrganisation(id=organisation_id, name=name, seq=seq),
    )


async def _write(session: OrganisationSession, organisation_id: UUID, member: IO[bytes]) -> None:
    connection = await session.connection()
    for one in rows.TABLES:
        member.write(rows.heading(one))
        async for portion in rows.lines(connection, one, organisation_id):
            member.write(portion)


def _check(saved: Archive) -> None:
    """Read the file to its end; raise BackupFailed unless it has the rows that were counted."""
    found: dict[str, int] = {}
    with _contents(saved) as (_, portions):
        for table, portion in portions:
            found[table.name] = found.get(table.name, 0) + len(portion)
    saved.manifest.compare(found)


async def import_(database: Database, keys: KeyStore, file: Path) -> Manifest:
    """Add the organisation in this file to a database that does not have it: all of it or nothing.

    It may change at once, even if it was frozen when it was saved.
    """
    saved = archive.read(file)
    moved = saved.manifest.organisation
    if moved is None:
        raise BackupFailed(f"{file} is a backup of a whole database: use `tournee restore`.")
    await _require_room(database, saved, moved)
    try:
        # Across organisations, because the keys belong to none. The organisation of a row is not in the file.
        async with database.writing(ACROSS) as session:
            found = await _insert(session, keys, saved, moved.id)
            saved.manifest.compare(found)
            await session.statements.check_references()
            await session.commit()
    except IntegrityError as problem:
        raise BackupFailed(f"The rows of {file} do not fit together: {problem.orig}.") from None
    await database.analyse()
    return saved.manifest


async def _require_room(database: Database, saved: Archive, moved: OneOrganisation) -> None:
    async with database.connecting() as connection:
        (revision,) = await connection.run_sync(migrations.revisions)
    if saved.manifest.revision != revision:
        raise BackupFailed(
            f"{saved.file} has the schema {saved.manifest.revision} of version {saved.manifest.server}, but"
            f" this database has {revision}: run the same version on both sides, and `tournee migrate`."
        )
    if await organisation_exists(database, moved.id):
        raise BackupFailed(f"This database has the organisation {moved} already; nothing was changed.")


async def _insert(
    session: OrganisationSession, keys: KeyStore, saved: Archive, organisation_id: UUID
) -> dict[str, int]:
    connection = await session.connection()
    found: dict[str, int] = {}
    with _contents(saved) as (cursor_keys, portions):
        await keys.accept_cursors(session, cursor_keys)
        for table, portion in portions:
            made = [rows.values(table, row, organisation_id) for row in portion]
            if table.name == Head.__tablename__:
                made = [row | {"frozen_at": None} for row in made]
            if made:
                await connection.execute(rows.inserting(table), made)
            found[table.name] = found.get(table.name, 0) + len(made)
    return found


@contextmanager
def _contents(saved: Archive) -> Iterator[tuple[list[bytes], Iterator[tuple[Table, list[list[Any]]]]]]:
    """Yield the cursor keys, and the rows in portions. Reading them to the end checks every byte."""
    with saved.database() as member:
        lines = _lines(BufferedReader(member, _BUFFER))  # type: ignore[type-var]
        yield rows.read_keys(next(lines, b"")), rows.portions(lines)


def _lines(member: IO[bytes]) -> Iterator[bytes]:
    while line := member.readline(_LONGEST_LINE):
        if not line.endswith(b"\n"):
            raise BackupFailed("A line of the file has no end.")
        yield line
