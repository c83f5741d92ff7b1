"""The cursor: where a device is in the feed, signed, so that only what we gave out comes back."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

import orjson

from tournee.kernel.actor import Actor
from tournee.kernel.errors import ResyncNeeded

# Sorts after every id: "all of this seq".
MAX_ID = UUID(int=2**128 - 1)
MIN_ID = UUID(int=0)


@dataclass(frozen=True)
class Cursor:
    """`snapshot`: still fetching the live rows by id, pinned at `seq`; else in the feed, past
    `(seq, id)`. Epoch, organisation, account and sight must be those it was made for."""

    epoch: UUID
    seq: int
    id: UUID = MAX_ID
    snapshot: bool = False


def sight(actor: Actor) -> str:
    """What decides which rows the feed holds: another role or scope is another feed."""
    reads = ",".join(sorted(scope for scope in actor.scopes if scope.endswith(":read")))
    return hashlib.sha256(f"{actor.sees_all}|{reads}".encode()).hexdigest()[:12]


class CursorCodec:
    """Turns cursors into opaque text and back with a key of the server's."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()[:16]

    def encode(self, cursor: Cursor, actor: Actor) -> str:
        body = orjson.dumps(
            [
                cursor.epoch.hex,
                cursor.seq,
                cursor.id.hex,
                int(cursor.snapshot),
                actor.organisation_id.hex,
                actor.id.hex,
                sight(actor),
            ]
        )
        return base64.urlsafe_b64encode(self._sign(body) + body).decode().rstrip("=")

    def decode(self, text: str, actor: Actor) -> Cursor:
        """Raises ResyncNeeded for anything that is not this actor's own cursor."""
        try:
            raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        except (ValueError, binascii.Error):
            raise ResyncNeeded from None
        signature, body = raw[:16], raw[16:]
        if not hmac.compare_digest(signature, self._sign(body)):
            raise ResyncNeeded
        epoch, seq, id, snapshot, organisation, account, seen = orjson.loads(body)
        if (organisation, account, seen) != (actor.organisation_id.hex, actor.id.hex, sight(actor)):
            raise ResyncNeeded
        return Cursor(UUID(hex=epoch), seq, UUID(hex=id), bool(snapshot))
