"""Reads and changes the server's keys in the database."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.auth.keys import file
from tournee.auth.keys.models import Purpose, ServerKey
from tournee.auth.keys.vault import Vault
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.engine.statements import OrganisationSession
from tournee.kernel.entity import now
from tournee.migrations import LOCK
from tournee.settings import Settings

# A new key is published this long before it signs. By then every server has read it, and so has everybody
# who keeps the published keys for the five minutes that the answer allows.
PUBLISHED_BEFORE = timedelta(minutes=10)

# How much the clocks of servers may differ.
_MARGIN = timedelta(minutes=5)

# The time from which a key signs that never signs here: every key of ours is newer.
_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)

# Who changes keys takes this lock, so that servers that start together agree on one set.
_LOCK: Final = LOCK + 1

# Longer than any history; the settings allow more days than a date can hold.
_MOST_DAYS = 36_500


@dataclass(frozen=True)
class StoredKey:
    """A key as it is in the database, decrypted."""

    id: str
    purpose: Purpose
    secret: bytes
    used_from: datetime
    ends_at: datetime | None = None

    @staticmethod
    def new(purpose: Purpose, used_from: datetime) -> StoredKey:
        made = Ed25519PrivateKey.generate().private_bytes_raw()
        secret = made if purpose is Purpose.TOKENS else secrets.token_bytes(32)
        return StoredKey(uuid4().hex[:16], purpose, secret, used_from)


class KeyStore:
    """The keys of all servers on one database, encrypted as the settings say."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._directory: Path = settings.directory
        self._vault = Vault(settings.secret_key)
        # How long a device may hold what a key has signed.
        self._lasts = {
            Purpose.TOKENS: timedelta(seconds=settings.access_token_seconds),
            Purpose.CURSORS: timedelta(days=min(settings.horizon_days, _MOST_DAYS)),
        }

    async def read(self) -> list[StoredKey]:
        """Return all keys. The first server on a database makes them, or takes them over from its file."""
        async with self._database.reading(ACROSS) as session:
            rows = await _rows(session)
        if _lacking(rows) or self._stale(rows):
            rows = await self._completed()
        return self._opened(rows)

    async def _completed(self) -> Sequence[ServerKey]:
        async with self._database.writing(ACROSS) as session:
            await session.statements.lock(_LOCK)
            # Another server may have made them meanwhile.
            rows = await _rows(session)
            if lacking := _lacking(rows):
                await self._add(session, self._first(lacking))
            stale = self._stale(rows)
            for row, key in zip(stale, self._opened(stale), strict=True):
                await session.execute(
                    update(ServerKey)
                    .where(ServerKey.id == row.id)
                    .values(self._sealed(key))
                    .execution_options(synchronize_session=False)
                )
            await session.commit()
        async with self._database.reading(ACROSS) as session:
            return await _rows(session)

    def _first(self, lacking: Collection[Purpose]) -> list[StoredKey]:
        """Return the keys from the file that older versions kept, and new ones where there is no file."""
        at = now()
        found = file.read(self._directory) if lacking == set(Purpose) else None
        if found is None:
            return [StoredKey.new(purpose, at) for purpose in lacking]
        structlog.get_logger().info(
            "keys_taken_over", file=str(found.file), advice="The database has the keys now: delete the file."
        )
        first, *older = found.signing
        ends_at = at + self._lasts[Purpose.TOKENS] + _MARGIN
        return [
            StoredKey(first.id, Purpose.TOKENS, first.secret, at),
            *(StoredKey(one.id, Purpose.TOKENS, one.secret, at - _MARGIN, ends_at) for one in older),
            StoredKey(uuid4().hex[:16], Purpose.CURSORS, found.cursors, at),
        ]

    async def rotate(self, purpose: Purpose) -> StoredKey:
        """Add a key that signs from soon on; the others verify until what they signed has run out."""
        async with self._database.writing(ACROSS) as session:
            await session.statements.lock(_LOCK)
            # A server that cannot decrypt the keys must not add one that the others cannot decrypt.
            self._opened(await _rows(session))
            new = StoredKey.new(purpose, now() + PUBLISHED_BEFORE)
            await session.execute(
                update(ServerKey)
                .where(ServerKey.purpose == purpose, ServerKey.ends_at.is_(None))
                .values(ends_at=new.used_from + self._lasts[purpose] + _MARGIN)
                .execution_options(synchronize_session=False)
            )
            await self._add(session, [new])
            await session.commit()
        return new

    async def replace(self) -> list[StoredKey]:
        """Delete all keys, readable or not, and make new ones that sign at once."""
        made = [StoredKey.new(purpose, now()) for purpose in Purpose]
        async with self._database.writing(ACROSS) as session:
            await session.statements.lock(_LOCK)
            await session.execute(delete(ServerKey).execution_options(synchronize_session=False))
            await self._add(session, made)
            await session.commit()
        return made

    async def accept_cursors(self, session: OrganisationSession, given: Iterable[bytes]) -> None:
        """Let cursors that these keys have signed elsewhere be valid here, as long as any may come. The keys
        sign nothing here. The caller commits.
        """
        await session.statements.lock(_LOCK)
        # A server that cannot decrypt the keys must not add one that the others cannot decrypt.
        self._opened(await _rows(session))
        ends_at = now() + self._lasts[Purpose.CURSORS] + _MARGIN
        for secret in given:
            # The same key comes with every organisation of a database.
            id = f"moved-{hashlib.sha256(secret).hexdigest()[:20]}"
            key = StoredKey(id, Purpose.CURSORS, secret, _BEFORE_ALL, ends_at)
            same = delete(ServerKey).where(ServerKey.id == id)
            await session.execute(same.execution_options(synchronize_session=False))
            await self._add(session, [key])

    def _stale(self, rows: Iterable[ServerKey]) -> list[ServerKey]:
        """Return the rows that the first of our secret keys does not encrypt, though there is one."""
        sealed_by = self._vault.sealed_by
        return [row for row in rows if sealed_by is not None and row.sealed_by != sealed_by]

    def _opened(self, rows: Iterable[ServerKey]) -> list[StoredKey]:
        return [
            StoredKey(
                row.id,
                Purpose(row.purpose),
                self._vault.open(row.secret, row.sealed_by, row.id),
                row.used_from,
                row.ends_at,
            )
            for row in rows
        ]

    def _sealed(self, key: StoredKey) -> dict[str, Any]:
        return {"secret": self._vault.seal(key.secret, key.id), "sealed_by": self._vault.sealed_by}

    async def _add(self, session: AsyncSession, keys: Iterable[StoredKey]) -> None:
        for key in keys:
            times = {"used_from": key.used_from, "ends_at": key.ends_at}
            row = {"id": key.id, "purpose": key.purpose.value, **times, **self._sealed(key)}
            await session.execute(insert(ServerKey).values(row))


async def purge_keys(database: Database) -> None:
    """Delete the keys that verify nothing any more."""
    async with database.writing(ACROSS) as session:
        ended = delete(ServerKey).where(ServerKey.ends_at < now() - _MARGIN)
        await session.execute(ended.execution_options(synchronize_session=False))
        await session.commit()


async def _rows(session: AsyncSession) -> Sequence[ServerKey]:
    return (await session.scalars(select(ServerKey).order_by(ServerKey.used_from, ServerKey.id))).all()


def _lacking(rows: Iterable[ServerKey]) -> set[Purpose]:
    """Return the purposes for which no key may sign from now on."""
    return set(Purpose) - {Purpose(row.purpose) for row in rows if row.ends_at is None}
