"""The native kind of device: it uses /sync/push and /sync/pull, and is small enough to check by reading."""

from __future__ import annotations

import random
from datetime import timedelta

from tests.simulator.clock import Clock
from tests.simulator.device import FINAL, KIND, Deed, Device, Document, Draft
from tests.simulator.network import Answer, Network, Request


class NativeDevice(Device):
    """Push and pull as schema/sync.md says."""

    kind = "native"

    def __init__(
        self, name: str, id: str, account: str, clock: Clock, skew: timedelta, dice: random.Random
    ) -> None:
        super().__init__(name, id, account, clock, skew)
        self.schema = dice.choice([1, 2])
        self._dice = dice
        self._rows: dict[str, Document] = {}
        self._cursor: str | None = None
        self._base = 0
        # The marks of the base, and of the last accepted work that is not yet in the copy.
        self.mark: str | None = None
        self.pushed_mark: str | None = None
        # The mark of the last answer to a push, which the next push sends.
        self._answered_mark: str | None = None
        self._number = 0
        # Until the server knows this device's first number, requests go one at a time.
        self._answered = False
        self._outbox: list[Deed] = []
        self._recent: list[Deed] = []
        # Whether, with a new copy, it resends the work that it has not seen in its copy.
        self.repeats = False
        # Whether it keeps all applied work, and resends it when a push learns that
        # history was lost.
        self.keeps = False
        self._decided: list[Deed] = []
        self._epoch: str | None = None
        # Whether the history may differ, which a push finds out.
        self._wonders = False

    @property
    def wonders(self) -> bool:
        return self._wonders and self._epoch is not None

    def marks(self) -> list[str | None]:
        return [self.mark, self.pushed_mark]

    def rows(self) -> dict[str, Document]:
        return self._rows

    def pending(self) -> list[Deed]:
        return list(self._outbox)

    def recent(self) -> list[Deed]:
        return list(self._recent)

    def kept(self) -> list[Deed]:
        again = self._recent if self.repeats and self._cursor is not None else []
        return [*again, *self._decided, *self._outbox]

    def do(self, drafts: list[Draft], unit: bool) -> list[Deed]:
        name = self.new_id() if unit else None
        made = [self._number_it(draft, name) for draft in drafts]
        self._outbox += made
        return made

    def _number_it(self, draft: Draft, unit: str | None) -> Deed:
        self._number += 1
        return Deed(
            self.new_id(), self._number, self.id, self.account, draft.command, draft.input, self._base,
            self.now(), unit, draft.target, self._rows.get(draft.target or ""), draft.binding, draft.parents,
            self.schema, mark=self.mark,
        )  # fmt: skip

    async def push(self, network: Network) -> None:
        """Send one request at a time, or all without waiting for answers."""
        hasty = self._answered and not network.perfect and self._dice.random() < 0.4
        size = self._dice.choice([1, 2, 3]) if hasty else 500
        if self.wonders:
            answer = await self._hand_in(network, [], self.schema, [])
            if answer is not None and not answer.body.get("resync"):
                self._hands_in_again(answer.body)
        batches = _batches(self._outbox, size)
        for batch in batches if self._answered else batches[:1]:
            operations = [deed.wire() for deed in batch]
            answer = await self._hand_in(network, operations, batch[0].schema, batch)
            if answer is None:
                continue  # In haste it does not wait for an answer before it sends the next.
            if answer.body.get("resync") or self._hands_in_again(answer.body):
                return
            while answer is not None and (gap := self._gap(answer.body["nextNumber"])):
                answer = await self._hand_in(network, gap, self.schema, [])

    async def _hand_in(
        self, network: Network, operations: list[Document], schema: int, batch: list[Deed]
    ) -> Answer | None:
        body = {"device": self.id, "app": "simulated/1", "schema": schema, "operations": operations}
        body["marks"] = {str(deed.base): deed.mark for deed in batch if deed.mark is not None}
        if self._epoch is not None:
            body["epoch"] = self._epoch
        if self._answered_mark is not None:
            body["mark"] = self._answered_mark
        answer = await network.send(
            Request(self.name, "POST", "/sync/push", self.token or "", body=body, about=(self, batch))
        )
        if answer is None or answer.status != 200:
            return None
        self._settle(answer)
        return answer

    def _hands_in_again(self, body: Document) -> bool:
        """Return whether the server expects a number that it had accepted, or knows no number at all."""
        expected = body["nextNumber"]
        known = [deed for deed in self._decided if deed not in self._outbox and body["epoch"] == self._epoch]
        lost = [deed for deed in known if deed.number >= (expected or 0)]
        if not any(expected in (None, deed.number) for deed in lost):
            return False
        self._outbox = sorted([*lost, *self._outbox], key=lambda deed: deed.number)
        self._decided = [deed for deed in self._decided if deed not in lost]
        self._forget()
        self._answered_mark = None
        return True

    def _gap(self, expected: int | None) -> list[Document]:
        """Return declarations for the numbers that the server waits for and that no operation here has."""
        first = next((deed.number for deed in self._outbox if deed.number >= (expected or 0)), 0)
        return [{"number": number} for number in range(expected or first, first)]

    def _settle(self, answer: Answer) -> None:
        if answer.body.get("resync"):
            self._outbox = sorted([*self._decided, *self._outbox], key=lambda deed: deed.number)
            self._decided, self._answered, self._answered_mark = [], False, None
            self._repeat()
            if self._epoch in (None, answer.body["epoch"]):
                self._forget()
        else:
            self._answered, self._answered_mark = True, answer.body.get("mark", self._answered_mark)
            self.pushed_mark = answer.body["mark"] if answer.body["outcomes"] else self.pushed_mark
        if self.keeps:
            self._epoch, self._wonders = answer.body["epoch"], False
        said = {outcome["id"]: outcome for outcome in answer.body["outcomes"]}
        for deed in [*self._outbox]:
            outcome = said.get(deed.id)
            if outcome is not None and outcome["status"] in FINAL:
                self._outbox.remove(deed)
                if outcome["status"] != "rejected":
                    self._recent.append(deed)
                    self._decided += [deed] if self.keeps else []

    async def pull(self, network: Network, pages: int) -> None:
        for _ in range(pages):
            self.complete = False
            answer = await network.send(self._ask())
            if answer is None or answer.status != 200:
                return
            page = answer.body
            if page["resync"]:
                self._repeat()
                self._forget()
                continue
            self._store(page, network)
            if not page["more"]:
                return

    def _ask(self) -> Request:
        if self._cursor is None:
            # The new copy belongs to the present history, whichever it is.
            self._wonders, self.pushed_mark = True, None
        query = {"limit": str(self._dice.choice([1, 2, 3, 5, 9, 30, 500, 500]))}
        if self._cursor is not None:
            query["cursor"] = self._cursor
            if self.pushed_mark is not None:
                query["mark"] = self.pushed_mark
        elif self._rows:
            # Rows without a cursor: the app died between storing them. A new copy starts empty.
            self._forget()
        return Request(self.name, "GET", "/sync/pull", self.token or "", query, about=(self, self._cursor))

    def _store(self, page: Document, network: Network) -> None:
        """Store rows and cursor together; an app may die before, and a careless one in between."""
        died = None if network.perfect else self._dice.choices([None, "before", "between"], [94, 3, 3])[0]
        if died is not None:
            network.faults[f"app died {died} storing a page"] += 1
        if died == "before":
            return
        for change in page["changes"]:
            if change.get("removed"):
                self._rows.pop(change["id"], None)
            else:
                self._rows[change["id"]] = {KIND: change["entity"], **change["record"]}
        if died == "between":
            return
        self._cursor = page["cursor"]
        if page["checkpoint"] is not None:
            self._base, self.mark = page["checkpoint"], page["mark"]
        self.complete = not page["more"]
        if self.complete:
            self._recent, self.whole, self.pushed_mark = [], True, None

    def crash(self) -> None:
        """Keep what is stored; forget requests without an answer."""

    def _forget(self) -> None:
        self._rows, self._cursor, self._base, self.whole = {}, None, 0, False
        self.mark = self.pushed_mark = None

    def _repeat(self) -> None:
        if self.repeats:
            self._outbox = sorted(self.kept(), key=lambda deed: deed.number)
            self._recent = []

    def resync(self) -> None:
        self._answered = False

    def wipe(self) -> None:
        self._forget()
        self._outbox, self._decided, self._epoch, self._answered_mark = [], [], None, None


def _batches(outbox: list[Deed], size: int) -> list[list[Deed]]:
    """Yield batches of about this many operations of one schema; a unit is never split."""
    batches: list[list[Deed]] = []
    for deed in outbox:
        last = batches[-1][-1] if batches else None
        same = last is not None and last.schema == deed.schema
        if same and (len(batches[-1]) < size or (deed.unit and deed.unit == batches[-1][-1].unit)):
            batches[-1].append(deed)
        else:
            batches.append([deed])
    return batches
