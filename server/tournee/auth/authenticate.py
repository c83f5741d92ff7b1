"""Authentication: turns the token of every request into an actor."""

from __future__ import annotations

import time
from typing import TypeVar
from uuid import UUID

from tournee.auth.standings import Standing, Standings
from tournee.auth.tokens import Tokens, Verified
from tournee.engine.database import Database
from tournee.engine.tail import Recent
from tournee.kernel.actor import AccountKey, Actor
from tournee.kernel.entity import now

_MOST = 20_000
_MOST_ORGANISATIONS = 10_000

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

# The organisation and account, device, role and session that the token names. Clients make the ids of
# accounts and devices, so another organisation may have the same id.
_Key = tuple[AccountKey, UUID | None, str, UUID | None]


class Authenticator:
    """Turns tokens into actors. It remembers verified tokens, and for a few seconds each account's standing.

    A token outlives the disabling of its account, a change of its role, the revoking of its device and the
    end of its session by up to fifteen minutes. For a stolen device that is long, and asking the database at
    each request would cost a fast read much of its time. So each process asks once every `believed_seconds`
    for each active account, and again as soon as it learns that accounts or devices of the organisation
    changed.
    """

    def __init__(self, database: Database, tokens: Tokens, believed_seconds: float = 5.0) -> None:
        self.database = database
        self.tokens = tokens
        self.believed_seconds = believed_seconds
        self._verified: dict[str, Verified] = {}
        # The state of the keys by which those tokens were verified.
        self._verified_by = tokens.ring.changes
        self._known: dict[_Key, Standing] = {}
        self._changed_at: dict[UUID, float] = {}
        self._standings = Standings(database)

    async def authenticate(self, token: str) -> Actor:
        """Return the actor of the token; raises TokenRefused if it admits nobody."""
        return (await self.verify(token)).actor

    async def verify(self, token: str) -> Verified:
        """Return the actor, and when the token expires."""
        verified = await self._verify(token)
        actor = verified.actor
        standing = self._known.get(_key(actor))
        if standing is None or not self._is_believed(standing, actor):
            standing = await self._ask(actor)
        standing.require()
        return verified

    async def require(self, actor: Actor, recent: Recent) -> None:
        """Raise TokenRefused unless account and device are still in good standing at this head.

        Only commands change them, and commands move the head: a result at one seq holds until the account or
        device is among the changes. Ended sessions do not move the head; they are announced.
        """
        standing = self._known.get(_key(actor))
        if (
            standing is None
            or standing.asked_at <= self._changed_at.get(actor.organisation_id, 0.0)
            or standing.epoch != recent.head.epoch
            or recent.changed(actor.id, standing.seq)
            or recent.changed(actor.device_id, standing.seq)
        ):
            standing = await self._ask(actor)
        else:
            standing.seq = max(standing.seq, recent.head.seq)
        standing.require()

    def ask_anew(self, organisation_id: UUID) -> None:
        """Discard all standings of this organisation that were read before now."""
        self._changed_at.pop(organisation_id, None)
        _remember(self._changed_at, organisation_id, time.monotonic(), _MOST_ORGANISATIONS)

    def _is_believed(self, standing: Standing, actor: Actor) -> bool:
        """Return whether the standing is still valid. A refusal never is: its cause may be gone."""
        oldest = time.monotonic() - self.believed_seconds
        changed_at = self._changed_at.get(actor.organisation_id, oldest)
        return standing.refusal is None and standing.asked_at > max(oldest, changed_at)

    async def _verify(self, token: str) -> Verified:
        if self._verified_by != self.tokens.ring.changes:
            self._verified_by = self.tokens.ring.changes
            self._verified.clear()
        verified = self._verified.get(token)
        if verified is None or verified.expires_at <= now().timestamp():
            self._verified.pop(token, None)
            await self.tokens.learn_key(token)
            verified = self.tokens.verify(token)
            _remember(self._verified, token, verified, _MOST)
        return verified

    async def _ask(self, actor: Actor) -> Standing:
        standing = await self._standings.now(actor)
        _remember(self._known, _key(actor), standing, _MOST)
        return standing


def _key(actor: Actor) -> _Key:
    return actor.key, actor.device_id, actor.role, actor.session_id


def _remember(known: dict[KeyT, ValueT], key: KeyT, value: ValueT, most: int) -> None:
    """Keep the value, and drop the oldest one if there are more than `most`."""
    if key not in known and len(known) >= most:
        del known[next(iter(known))]
    known[key] = value
