"""The server's keys in the memory of one process: which sign now, and which still verify.

Every server on a database has the same keys. Each process reads them anew from time to time, so that it knows
a new key before anybody signs with it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from time import monotonic
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tournee.auth.keys.models import Purpose
from tournee.auth.keys.store import KeyStore, StoredKey
from tournee.engine.database import Database
from tournee.kernel.entity import now
from tournee.settings import Settings

# Much shorter than the time for which a key is published before it signs.
LOOK_SECONDS = 60.0
# After a failure, such as a database that is away.
_AGAIN_SECONDS = 2.0
# A server that starts without its database serves all the same, and says that it is not ready.
_START_SECONDS = 5.0

# Strangers may name any key. Whatever they send, a process looks no more often than this.
LEARN_SECONDS = 5.0

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Key:
    """A key pair that signs tokens, and the name by which tokens refer to it."""

    id: str
    private: Ed25519PrivateKey

    @cached_property
    def public(self) -> Ed25519PublicKey:
        return self.private.public_key()

    def published(self) -> dict[str, str]:
        """Return the public half as a JSON Web Key (RFC 8037)."""
        x = base64.urlsafe_b64encode(self.public.public_bytes_raw()).rstrip(b"=").decode()
        return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.id, "use": "sig", "alg": "EdDSA"}


class KeyRing:
    """The keys that are in use or published, of which the first signs."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._store = KeyStore(database, settings)
        self._stored: Sequence[StoredKey] = ()
        self._tokens: dict[str, Key] = {}
        self._cursors: tuple[bytes, ...] = ()
        self._valid_until = _NEVER
        self._looked_at = -LEARN_SECONDS
        self._looking: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        # Counts up when a key comes or goes: what was verified before then must be verified anew.
        self.changes = 0

    # -- using the keys ------------------------------------------------------------------------

    def keys(self) -> tuple[Key, ...]:
        """Return the keys of tokens, the signing one first."""
        self._keep_time()
        return tuple(self._tokens.values())

    def named(self, id: str) -> Key | None:
        self._keep_time()
        return self._tokens.get(id)

    def cursor_keys(self) -> tuple[bytes, ...]:
        """Return the keys of cursors, the signing one first."""
        self._keep_time()
        return self._cursors

    def published(self) -> dict[str, Any]:
        return {"keys": [key.published() for key in self.keys()]}

    # -- reading them --------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the keys, and look for new ones until `stop`."""
        self._following = asyncio.create_task(self._follow())
        first = asyncio.create_task(self.ready())
        await asyncio.wait([first], timeout=_START_SECONDS)
        first.cancel()
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await first

    async def stop(self) -> None:
        for task in (self._following, self._looking):
            if task is not None:
                task.cancel()
                with contextlib.suppress(Exception, asyncio.CancelledError):
                    await task

    async def ready(self) -> None:
        """Read the keys unless that was done before."""
        if not self._stored:
            await self.look()

    async def learn(self, id: str) -> None:
        """Look for a key of this name if it is unknown: another process may have added it."""
        await self.ready()
        if self.named(id) is None:
            await self.learn_any()

    async def learn_any(self) -> None:
        """Look for keys that another process may have added, but not too often."""
        if monotonic() - self._looked_at >= LEARN_SECONDS:
            await self.look()

    async def look(self) -> None:
        """Read the keys anew; all who ask at the same time share one reading."""
        if self._looking is None or self._looking.done():
            self._looked_at = monotonic()
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        self._stored = await self._store.read()
        self._arrange()

    async def _follow(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - the keys in memory go on working
                structlog.get_logger().warning("keys_not_read", error=str(error).partition("\n")[0][:300])
            await asyncio.sleep(LOOK_SECONDS if self._stored else _AGAIN_SECONDS)

    # -- arranging them ------------------------------------------------------------------------

    def _keep_time(self) -> None:
        if self._valid_until <= now():
            self._arrange()

    def _arrange(self) -> None:
        """Put the keys into the order of this moment, and note until when it holds."""
        at = now()
        live = [key for key in self._stored if key.ends_at is None or key.ends_at > at]
        tokens = {key.id: _pair(key) for key in _in_order(live, Purpose.TOKENS, at)}
        cursors = tuple(key.secret for key in _in_order(live, Purpose.CURSORS, at))
        if tokens.keys() != self._tokens.keys():
            self.changes += 1
        self._tokens, self._cursors = tokens, cursors
        coming = [time for key in live for time in (key.used_from, key.ends_at) if time is not None]
        self._valid_until = min((time for time in coming if time > at), default=_NEVER)


def _in_order(keys: Iterable[StoredKey], purpose: Purpose, at: datetime) -> list[StoredKey]:
    """Return the key that signs, then the others; no key waits if none is in use yet."""
    own = sorted((key for key in keys if key.purpose is purpose), key=lambda key: key.used_from)
    used = [key for key in own if key.used_from <= at] or own[:1]
    signing = used[-1:]
    return signing + [key for key in reversed(own) if key not in signing]


def _pair(key: StoredKey) -> Key:
    return Key(key.id, Ed25519PrivateKey.from_private_bytes(key.secret))
