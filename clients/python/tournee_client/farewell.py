"""What a revoked device still does: hand in its work where it may, erase its copy, say so.

Each step is kept before it is begun, so that a device that is switched off in between goes on where
it was; and each can be repeated. The numbers are those of schema/sync.md, "Revoking a device".
"""

from __future__ import annotations

from contextlib import suppress

from tournee_client.errors import Revoked, SignInRefused
from tournee_client.link import Link
from tournee_client.push import Push
from tournee_client.store import Store


class Farewell:
    """The way out, once begun the only way."""

    def __init__(self, link: Link, store: Store, push: Push) -> None:
        self._link = link
        self._store = store
        self._push = push

    def begin(self, revoked: Revoked) -> None:
        """2. Remember what the server ordered."""
        if self._store.leaving is None:
            self._store.database.put("leaving", "surrender" if revoked.surrender else "wipe")

    async def run(self, patient: bool) -> Revoked:
        """Go on to the end; return what to raise then. `Offline` on the way leaves the rest for later."""
        surrender = self._store.leaving == "surrender"
        if surrender:
            await self._surrender(patient)
        if self._store.leaving == "wipe":
            self._store.leave()
        # 6. A crash may have come before the file was written anew.
        self._store.database.scrub()
        await self._link.wiped(patient)
        self._store.wipe()
        self._link.sign_out()
        return Revoked("this device was revoked; its copy is erased", surrender)

    async def _surrender(self, patient: bool) -> None:
        """4. All of the outbox, or as much as the server takes."""
        # Where the server does not take it any more, what is left goes with the copy.
        with suppress(Revoked, SignInRefused):
            await self._push.surrender(patient)
        self._store.database.put("leaving", "wipe")
