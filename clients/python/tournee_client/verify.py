"""Comparing the local copy with the server's by checksums, and repairing what differs."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

from tournee_client.errors import ProtocolError
from tournee_client.feed import Feed
from tournee_client.link import Link
from tournee_client.store import Store
from tournee_client.wire import Change, Document, dumps

BUCKETS = "0123456789abcdef"
_EXACT = 2**53
# How often the copy may have fallen behind when the server compares.
_TRIES = 5


@dataclass(frozen=True)
class Repaired:
    """A repaired part of the copy: the entity's rows whose ids end in the hex digit `bucket`."""

    entity: str
    bucket: str


def row_sum(entity: str, record: Document) -> int:
    """Return a row's share of its bucket's checksum."""
    text = json.dumps(canonical(record), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(f"{entity}\n{text}".encode()).digest()[:8])


def canonical(value: Any) -> Any:
    """Replace numbers that some JSON readers alter with the hex text of their 64 bits."""
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if value == int(value) and abs(value) < _EXACT:
        return int(value)
    return "~" + struct.pack(">d", value).hex()


class Verification:
    """One comparison. It pulls first, and again whenever the copy has fallen behind."""

    def __init__(self, link: Link, store: Store, feed: Feed) -> None:
        self._link = link
        self._store = store
        self._feed = feed

    async def run(self) -> list[Repaired]:
        """Compare, repair, and return the repaired parts."""
        theirs = (await self._ask("/sync/checksums", {}))["entities"]
        ours = self._sums()
        differing = [
            Repaired(entity, bucket)
            for entity in sorted({*theirs, *ours})
            for number, bucket in enumerate(BUCKETS)
            if _bucket(theirs, entity, number) != f"{ours.get(entity, _NONE)[number]:016x}"
        ]
        for part in differing:
            self._replace(part, await self._rows(part) if part.entity in theirs else [])
        return differing

    def _sums(self) -> dict[str, list[int]]:
        sums: dict[str, list[int]] = {}
        for entity, id, document in self._store.database.execute("SELECT entity, id, document FROM row"):
            buckets = sums.setdefault(entity, list(_NONE))
            number = int(id[-1], 16)
            buckets[number] = (buckets[number] + row_sum(entity, json.loads(document))) % 2**64
        return sums

    async def _ask(self, path: str, query: dict[str, str]) -> Any:
        for _ in range(_TRIES):
            await self._feed.pull(patient=False)
            answer = await self._link.call(
                "GET", path, False, params={**query, "cursor": self._store.cursor or ""}
            )
            if answer["current"]:
                return answer
        raise ProtocolError("the copy is behind again and again")

    async def _rows(self, part: Repaired) -> list[Change]:
        changes: list[Change] = []
        after: str | None = ""
        while after is not None:
            query = {"entity": part.entity, "bucket": part.bucket, **({"after": after} if after else {})}
            page = await self._ask("/sync/repair", query)
            changes += [Change.parse(change) for change in page["changes"]]
            after = page["after"]
        return changes

    def _replace(self, part: Repaired, changes: list[Change]) -> None:
        execute = self._store.database.execute
        with self._store.database.transaction():
            execute("DELETE FROM row WHERE entity = ? AND id LIKE ?", (part.entity, f"%{part.bucket}"))
            for change in changes:
                document = dumps({"id": change.id, **(change.record or {})})
                values = (change.entity, change.id, change.seq, document)
                execute("INSERT INTO row VALUES (?, ?, ?, ?)", values)


_NONE = (0,) * len(BUCKETS)


def _bucket(theirs: dict[str, Any], entity: str, number: int) -> str:
    return str(theirs[entity]["buckets"][number]) if entity in theirs else "0" * 16
