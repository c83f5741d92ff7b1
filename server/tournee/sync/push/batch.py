"""One attempt at a batch: what is known of its operations, read at once before the first one runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, or_, select

from tournee.engine.bulk import among, picked
from tournee.engine.pipelining import Pipeline
from tournee.kernel.command import Command
from tournee.kernel.entity import Entity
from tournee.kernel.errors import NotOffline, Refused, UnknownCommand
from tournee.kernel.inputs import parse_many
from tournee.kernel.references import lock_order, references
from tournee.kernel.transaction import Transaction
from tournee.sync.devices.locking import LockedDevice
from tournee.sync.messages import Outcome, PushedOperation
from tournee.sync.models import STOPPED, DeviceState, ParkedOperation, Receipt
from tournee.sync.push.upcasts import OPERATION_SCHEMA
from tournee.sync.waiting.given_up import given_up_among

Commands = Mapping[str, Command[Any, Any]]


@dataclass(frozen=True)
class Ready:
    """An operation whose command is known and whose input is read."""

    command: Command[Any, Any]
    do: Any


@dataclass
class Batch:
    """One attempt at a batch. `careful` are the units that run behind a savepoint, by their first id."""

    commands: Commands
    tx: Transaction
    device: LockedDevice
    careful: Carefulness
    # Numbers that are used up though nothing runs under them: of what is refused before, or known.
    settled: set[int] = field(default_factory=set)
    # What waits since before then waits no longer.
    patience: datetime | None = None
    receipts: dict[UUID, Row[Any]] = field(default_factory=dict)
    parked: dict[UUID, ParkedOperation] = field(default_factory=dict)
    # Under an id of this push, what another device waits with; and the devices of this person among them.
    elsewhere: dict[UUID, ParkedOperation] = field(default_factory=dict)
    own_devices: set[UUID] = field(default_factory=set)
    # The records that operations of this push are to make.
    makes: set[UUID] = field(default_factory=set)
    ready: dict[UUID, Ready | Refused] = field(default_factory=dict)
    decided: list[tuple[PushedOperation, Outcome]] = field(default_factory=list)
    outcomes: dict[UUID, Outcome] = field(default_factory=dict)
    # Whether records that are missing will not come, as far as somebody asked.
    given_up: dict[UUID, bool] = field(default_factory=dict)
    # What waits because of an error of ours.
    stopped: set[UUID] = field(default_factory=set)
    # Records that malformed operations of this push were to make.
    lost: set[UUID] = field(default_factory=set)
    unparked: list[UUID] = field(default_factory=list)
    to_park: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    # Units that somebody in the office must hear of.
    refused: list[list[tuple[PushedOperation, Outcome]]] = field(default_factory=list)
    quarantined: list[list[PushedOperation]] = field(default_factory=list)
    # What nobody can carry out as it was sent.
    of_no_use: list[tuple[dict[str, Any], Outcome]] = field(default_factory=list)
    schema: int = OPERATION_SCHEMA

    async def load(self, operations: Sequence[PushedOperation]) -> None:
        """2. What is known of these operations: receipts, and what waits of this device."""
        session, device, is_sqlite = self.tx.session, self.device, self.tx.database.is_sqlite
        ids = [operation.id for operation in operations]
        waiting = (
            select(ParkedOperation)
            .where(
                ParkedOperation.organisation_id == device.organisation_id,
                or_(
                    ParkedOperation.device_id == device.device_id,
                    among(ParkedOperation.operation_id, ids, is_sqlite=is_sqlite),
                ),
            )
            .order_by(ParkedOperation.number)
        )
        told = (Receipt.operation_id, Receipt.account_id, Receipt.payload_hash, Receipt.outcome)
        known = picked(Receipt.operation_id, ids, device.organisation_id, *told, is_sqlite=is_sqlite)
        async with Pipeline() as pipeline:
            asked = await pipeline.send(session.scalars(waiting))
            self._read_all(operations)
            found = await pipeline.send(session.execute(*known))
            for parked in await asked:
                whose = self.parked if parked.device_id == device.device_id else self.elsewhere
                whose[parked.operation_id] = parked
            self.stopped = {id for id, one in self.parked.items() if one.reason in STOPPED}
            # Mostly none of them is known.
            named = self._named(operations)
            self.receipts = {receipt.operation_id: receipt for receipt in await found}
        if self.elsewhere:
            await self._find_own_devices()
        if self.receipts:
            named = self._named([one for one in operations if one.id not in self.receipts])
        self.makes = named[0]
        await self._look_ahead(*named)

    async def _find_own_devices(self) -> None:
        found = await self.tx.session.scalars(
            select(DeviceState.device_id).where(
                DeviceState.organisation_id == self.device.organisation_id,
                DeviceState.account_id == self.tx.actor.id,
                DeviceState.device_id.in_({one.device_id for one in self.elsewhere.values()}),
            )
        )
        self.own_devices = set(found)

    async def _look_ahead(self, made: set[UUID], named: Mapping[type[Entity], set[UUID]]) -> None:
        """Read and lock with one statement an entity all rows that operations name."""
        await self.tx.flush()
        async with Pipeline() as pipeline:
            if made:
                await pipeline.send(self.tx.ahead.reserve(made))
            await self._read_named(named, pipeline)

    async def _read_named(self, named: Mapping[type[Entity], set[UUID]], pipeline: Pipeline) -> None:
        """Rows of one kind are made while those of the next are read; the clocks once all are locked."""
        found: set[UUID] = set()
        before = None
        for model in sorted(named, key=lock_order):
            rows = await pipeline.send(self.tx.read_many(model, named[model]))
            if before is not None:
                found.update(self.tx.hold_many(await before))
            before = rows
        if before is not None:
            asked = {id for ids in named.values() for id in ids}
            await pipeline.send(self.tx.clocks.load(asked))
            found.update(self.tx.hold_many(await before))
            await pipeline.arrived()
            self.tx.clocks.forget(asked - found)

    def _named(
        self, operations: Iterable[PushedOperation]
    ) -> tuple[set[UUID], dict[type[Entity], set[UUID]]]:
        """The ids of rows that these operations make, and of those that are there and may be read ahead."""
        made: set[UUID] = set()
        named: dict[type[Entity], set[UUID]] = defaultdict(set)
        for operation in operations:
            ready = self.read(operation)
            if isinstance(ready, Ready):
                id = getattr(ready.do, "id", None)
                made.update((id,) if isinstance(id, UUID) else ())
                for _, model, other in references(ready.command, ready.do):
                    named[model].add(other)
        ahead = {
            model: ids - made
            for model, ids in named.items()
            if self.tx.actor.may(model.reads) and not model.shared and ids - made
        }
        return made, ahead

    def is_used(self, number: int) -> bool:
        """Whether nothing is still to come under it."""
        return number in self.settled or number < (self.device.next_number or 0)

    def pass_settled(self) -> None:
        """4. Nothing comes under these numbers, so nobody waits for them."""
        while self.device.next_number in self.settled:
            self.device.next_number += 1

    @property
    def waits_for(self) -> dict[UUID, UUID]:
        """The records, or the operations, that what was parked just now waits for."""
        return {id: row["waits_for"] for id, row in self.to_park.items() if row["waits_for"] is not None}

    def is_overdue(self, unit: Sequence[PushedOperation]) -> bool:
        """Whether it has waited for as long as anything may."""
        parked = self.parked.get(unit[0].id)
        return parked is not None and self.patience is not None and parked.received_at < self.patience

    def lose(self, malformed: Iterable[tuple[UUID | None, UUID]]) -> None:
        """What malformed operations were to make will not come, but where something else here makes it."""
        self.lost = {record for operation, record in malformed if operation not in self.parked}
        self.lost -= self.tx.notes.new
        self.given_up.update(dict.fromkeys(self.lost, True))

    @property
    def will_not_come(self) -> set[UUID]:
        """Records that were given up, as far as somebody asked or this push did."""
        return {id for id, gone in self.given_up.items() if gone}

    async def is_given_up(self, id: UUID) -> bool:
        """Whether the operation that was to make this record was refused for good."""
        if id not in self.given_up:
            found = await given_up_among(self.tx.session, self.device.organisation_id, [id])
            self.given_up[id] = bool(found)
        return self.given_up[id]

    def _read_all(self, operations: Iterable[PushedOperation]) -> None:
        """Read the inputs of all that do the same at once; where one is wrong, each by itself later."""
        alike: defaultdict[str, list[PushedOperation]] = defaultdict(list)
        for operation in operations:
            alike[operation.command].append(operation)
        for name, group in alike.items():
            command = self.commands.get(name)
            if command is None or not command.offline:
                continue
            with suppress(Refused):
                inputs = parse_many(command.input, [operation.input for operation in group])
                ready = (Ready(command, do) for do in inputs)
                self.ready.update(zip((operation.id for operation in group), ready, strict=True))

    def read(self, operation: PushedOperation) -> Ready | Refused:
        """Its command and input, or why it can have none."""
        ready = self.ready.get(operation.id)
        if ready is None:
            try:
                ready = self._read(operation)
            except Refused as refusal:
                ready = refusal
            self.ready[operation.id] = ready
        return ready

    def _read(self, operation: PushedOperation) -> Ready:
        command = self.commands.get(operation.command)
        if command is None:
            raise UnknownCommand(f"There is no command {operation.command[:80]!r}.", "command")
        if not command.offline:
            raise NotOffline(f"{operation.command} can be used online only.", "command")
        return Ready(command, command.parse(operation.input))


@dataclass
class Carefulness:
    """Which units run behind a savepoint: none at first, then those that were refused, then all."""

    units: set[UUID] = field(default_factory=set)
    everywhere: bool = False

    def with_unit(self, unit: Sequence[PushedOperation]) -> bool:
        return self.everywhere or (bool(self.units) and unit[0].id in self.units)

    def take_care_of(self, unit: Sequence[PushedOperation]) -> None:
        """Each start from the beginning costs the whole batch, so there are only a few."""
        self.everywhere = len(self.units) >= _FEW
        self.units.add(unit[0].id)


_FEW = 3
