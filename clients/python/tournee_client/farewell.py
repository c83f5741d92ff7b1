"""What a revoked device still does: send its work if it may, erase its copy, confirm that.

Each step is stored before it begins and can be repeated, so a device that is switched off in between
continues where it was. The numbers are the steps in schema/sync.md, "Revoking a device".
"""

from __future__ import annotations

from contextlib import suppress

from tournee_client.errors import Revoked, SignInRefused
from tournee_client.link import Link
from tournee_client.push import Push
from tournee_client.store import Store


class Farewell:
    """The steps after a revocation; once begun, nothing else is possible."""

    def __init__(self, link: Link, store: Store, push: Push) -> None:
        self._link = link
        self._store = store
        self._push = push

    def begin(self, revoked: Revoked) -> None:
        """Step 2: store what the server ordered."""
        if self._store.leaving is None:
            self._store.database.put("leaving", "surrender" if revoked.surrender else "wipe")

    async def run(self, patient: bool) -> Revoked:
        """Take the remaining steps; return the error to raise. After `Offline`, the next call goes on."""
        surrender = self._store.leaving == "surrender"
        if surrender:
            await self._surrender(patient)
        if self._store.leaving == "wipe":
            self._store.leave()
        # Step 6. A crash may have come before the file was rewritten.
        self._store.database.scrub()
        await self._link.wiped(patient)
        self._store.wipe()
        self._link.sign_out()
        return Revoked("this device was revoked; its copy is erased", surrender)

    async def _surrender(self, patient: bool) -> None:
        """Step 4: send the outbox, or as much of it as the server takes."""
        # Once the server takes no more, the rest is erased with the copy.
        with suppress(Revoked, SignInRefused):
            await self._push.surrender(patient)
        self._store.database.put("leaving", "wipe")
