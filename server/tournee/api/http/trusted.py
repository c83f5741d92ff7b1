"""Documents that requests name by their SHA-256 hash: trusted ones, known from the start, and those that
clients register (Apollo's automatic persisted queries).
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import UUID

import orjson

from tournee import shipped
from tournee.api.requests import BadRequest
from tournee.kernel.actor import AccountKey

# What one account may register, and what all of a process may, in characters.
MOST_EACH = 100
MOST_EACH_CHARACTERS = 300_000
MOST_CHARACTERS = 10_000_000

UNKNOWN = "PERSISTED_QUERY_NOT_FOUND"
UNTRUSTED = "DOCUMENT_NOT_TRUSTED"


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def trusted_documents(folder: Path | None) -> dict[str, str]:
    """Return the documents of our own clients and those in a folder, by their hashes."""
    folders = [shipped.folder("schema") / "operations", *([] if folder is None else [folder])]
    texts = [text for one in folders for text in _texts(one)]
    return {hashed(text): text for text in texts}


def _texts(folder: Path) -> Iterator[str]:
    """Yield the documents in a folder: `.graphql` files, as they are and without space around them, and the
    values of `.json` files that map hashes to documents.
    """
    for file in sorted(folder.glob("*.graphql")):
        text = file.read_text("utf-8")
        yield text
        yield text.strip()
    for file in sorted(folder.glob("*.json")):
        found = orjson.loads(file.read_bytes())
        yield from (text for text in found.values() if isinstance(text, str))


class Registered:
    """Documents that accounts registered; everybody in the organisation of one may use it.

    An account that registers too many drops its own oldest ones. If all take too much, those of the account
    that takes most are dropped, in the organisation that takes most: nobody can crowd out somebody else.
    """

    def __init__(self, most: int = MOST_CHARACTERS) -> None:
        self._most = most
        self._held: dict[AccountKey, OrderedDict[str, str]] = {}
        self._holders: dict[tuple[UUID, str], AccountKey] = {}
        self._sizes: Counter[AccountKey] = Counter()
        self._totals: Counter[UUID] = Counter()

    def find(self, account: AccountKey, hash: str) -> str | None:
        holder = self._holders.get((account[0], hash))
        if holder is None:
            return None
        self._held[holder].move_to_end(hash)
        return self._held[holder][hash]

    def keep(self, account: AccountKey, hash: str, text: str) -> None:
        """Keep a document whose hash was verified."""
        if (account[0], hash) in self._holders:
            return
        self._held.setdefault(account, OrderedDict())[hash] = text
        self._holders[account[0], hash] = account
        self._grow(account, len(text))
        while len(self._held[account]) > MOST_EACH or self._sizes[account] > MOST_EACH_CHARACTERS:
            self._drop(account)
        while self._totals.total() > self._most:
            self._drop(max(self._held, key=lambda one: (self._totals[one[0]], self._sizes[one])))

    def _grow(self, account: AccountKey, characters: int) -> None:
        self._sizes[account] += characters
        self._totals[account[0]] += characters

    def _drop(self, account: AccountKey) -> None:
        hash, text = self._held[account].popitem(last=False)
        del self._holders[account[0], hash]
        self._grow(account, -len(text))
        if not self._held[account]:
            del self._held[account], self._sizes[account]
        if not self._totals[account[0]]:
            del self._totals[account[0]]


class Documents:
    """Finds the documents of requests. `only`: no other than the trusted ones may run."""

    def __init__(self, trusted: Mapping[str, str], *, only: bool) -> None:
        self._trusted = trusted
        self._only = only
        self._registered = Registered()

    def text(self, query: str | None, hash: str | None, account: AccountKey) -> str | None:
        """Return the document of a request that has its text, its hash or both; None if it has neither."""
        if query is None:
            return None if hash is None else self._named(hash, account)
        if self._only and hashed(query) not in self._trusted:
            raise _untrusted()
        if hash is not None:
            if hashed(query) != hash:
                raise BadRequest(400, "BAD_REQUEST", "The hash is not the SHA-256 of `query` in UTF-8.")
            if hash not in self._trusted:
                self._registered.keep(account, hash, query)
        return query

    def _named(self, hash: str, account: AccountKey) -> str:
        text = self._trusted.get(hash)
        if text is None and self._only:
            raise _untrusted()
        text = text or self._registered.find(account, hash)
        if text is None:
            # Apollo's clients know this message, and send the document with its hash.
            raise BadRequest(200, UNKNOWN, "PersistedQueryNotFound", {"Cache-Control": "no-store"})
        return text


def _untrusted() -> BadRequest:
    return BadRequest(403, UNTRUSTED, "This server runs only documents that it knows (TOURNEE_TRUSTED_ONLY).")
