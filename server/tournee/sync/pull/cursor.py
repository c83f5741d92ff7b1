"""The cursor: where a device is in the feed, signed, so that only cursors of this server come back."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from tournee.kernel.actor import Actor, Permission
from tournee.kernel.errors import ResyncNeeded
from tournee.kernel.head import HeadNow, Mark
from tournee.sync.pull.choice import Choice

# Sorts after every id: "all of this seq".
MAX_ID = UUID(int=2**128 - 1)
MIN_ID = UUID(int=0)

_MOST_KNOWN = 10_000


class Phase(IntEnum):
    """What a cursor walks through: first today's work, then all rows, then what changed."""

    FEED = 0
    SNAPSHOT = 1
    URGENT = 2


class Place(NamedTuple):
    """Where the walk through a choice is: at a row of this type that counts until then."""

    entity: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Cursor:
    """In the feed: past `(seq, id)`. In a snapshot, which is pinned at `seq`: past the row `id` of `scope`,
    with `done` of `total` rows sent.

    `mark` is the newest change that any page up to here may show. If the log has another change in its place,
    the copy holds something that never happened. Cursors from before there were marks have none.
    A device that chose what to carry keeps its `choice` in the cursor: the copy is complete for that alone.
    """

    epoch: UUID
    seq: int
    id: UUID = MAX_ID
    phase: Phase = Phase.FEED
    scope: UUID = MIN_ID
    done: int = 0
    total: int = 0
    mark: Mark | None = None
    choice: Choice | None = None
    # In the snapshot of a choice.
    place: Place | None = None

    @staticmethod
    def at(head: HeadNow) -> Cursor:
        """Return the cursor past everything in the log."""
        return Cursor(head.epoch, head.seq, mark=head.mark)

    @property
    def snapshot(self) -> bool:
        return self.phase is not Phase.FEED


def sight(actor: Actor) -> str:
    """Return what decides which rows the feed holds: another role or other permissions give another feed."""
    return _sight(actor.sees_all, actor.permissions)


@lru_cache
def _sight(sees_all: bool, permissions: frozenset[Permission]) -> str:
    reads = ",".join(sorted(one for one in permissions if one.endswith(":read")))
    return hashlib.sha256(f"{sees_all}|{reads}".encode()).hexdigest()[:12]


class _UnknownKey(ResyncNeeded):
    """None of our keys has signed this cursor."""


async def _no_more_keys() -> None:
    """Learn nothing: the keys stay the same."""


class CursorCodec:
    """Turns cursors into opaque text and back, with the server's keys, of which the first signs.

    `learn` looks for keys that came lately.
    """

    def __init__(
        self, keys: Callable[[], Sequence[bytes]], learn: Callable[[], Awaitable[None]] = _no_more_keys
    ) -> None:
        self._keys = keys
        self._learn = learn
        # Cursors read before, by text: an idle device sends the same one again and again.
        self._known: dict[str, tuple[UUID, UUID, str, Cursor]] = {}

    def encode(self, cursor: Cursor, actor: Actor) -> str:
        owner = actor.organisation_id.hex, actor.id.hex, sight(actor)
        parts: list[Any] = [*owner, cursor.epoch.hex, cursor.seq, cursor.id.hex, cursor.phase.value]
        if cursor.snapshot:
            parts += [cursor.scope.hex, cursor.done, cursor.total]
        if cursor.mark is not None:
            parts += cursor.mark
        if cursor.choice is not None:
            place = cursor.place
            at = None if place is None else [place.entity, place.until.isoformat()]
            parts.append([*cursor.choice.written(), at])
        body = orjson.dumps(parts)
        return base64.urlsafe_b64encode(_sign(body, self._keys()[0]) + body).decode().rstrip("=")

    async def open(self, text: str, actor: Actor) -> Cursor:
        """Read a cursor, of a key too that came with an organisation a moment ago. Raises ResyncNeeded."""
        try:
            return self.decode(text, actor)
        except _UnknownKey:
            await self._learn()
            return self.decode(text, actor)

    def decode(self, text: str, actor: Actor) -> Cursor:
        """Read a cursor; raises ResyncNeeded for anything but this actor's own."""
        known = self._known.get(text)
        if known is None:
            known = self._read(text)
            if len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[text] = known
        organisation_id, account_id, seen, cursor = known
        if account_id != actor.id or organisation_id != actor.organisation_id or seen != sight(actor):
            raise ResyncNeeded
        return cursor

    def _read(self, text: str) -> tuple[UUID, UUID, str, Cursor]:
        try:
            raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        except (ValueError, binascii.Error):
            raise ResyncNeeded from None
        signature, body = raw[:16], raw[16:]
        if not any(hmac.compare_digest(signature, _sign(body, key)) for key in self._keys()):
            raise _UnknownKey
        organisation, account, seen, epoch, seq, id, phase, *more = orjson.loads(body)
        chosen = more.pop() if more and isinstance(more[-1], list) else None
        scope, done, total = more[:3] if len(more) > len(Mark._fields) else (MIN_ID.hex, 0, 0)
        mark = Mark(*more[-2:]) if len(more) in (2, 5) else None
        cursor = Cursor(UUID(hex=epoch), seq, UUID(hex=id), Phase(phase), UUID(hex=scope), done, total, mark)
        if chosen is not None:
            *choice, at = chosen
            place = None if at is None else Place(at[0], datetime.fromisoformat(at[1]))
            cursor = replace(cursor, choice=Choice.of(choice), place=place)
        return UUID(hex=organisation), UUID(hex=account), seen, cursor


def _sign(body: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16, key=key).digest()
