"""One attempt at a push: a case for each operation, and all that is known before the first one runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import or_, select

from tournee.engine.pipelining import Pipeline
from tournee.kernel.command import Command
from tournee.kernel.entity import Entity
from tournee.kernel.errors import NotOffline, Refused, UnknownCommand
from tournee.kernel.inputs import parse_many
from tournee.kernel.references import lock_order, references
from tournee.kernel.transaction import Transaction
from tournee.sync.devices.locking import LockedDevice
from tournee.sync.messages import Outcome, PushedOperation
from tournee.sync.models import DeviceState, ParkedOperation, Reason, Receipt
from tournee.sync.push.case import Case, Ready, State, reuse_of
from tournee.sync.push.incoming import Incoming
from tournee.sync.waiting.given_up import given_up_among

Commands = Mapping[str, Command[Any, Any]]
Unit: TypeAlias = list[Case]

# Waiting operations of one device. Beyond this, the device keeps what has to wait and sends it again later.
MOST_KEPT = 2_000


@dataclass
class Batch:
    """One attempt at a push. Operations that have waited since before `patience` wait no longer."""

    commands: Commands
    tx: Transaction
    device: LockedDevice
    incoming: Incoming
    careful: Carefulness
    patience: datetime | None = None
    # By operation id: what was sent, and what this device has waiting.
    cases: dict[UUID, Case] = field(default_factory=dict)
    # Units that were refused or quarantined: the office must learn of them.
    reported: list[Unit] = field(default_factory=list)
    # Records that operations of this push create.
    makes: set[UUID] = field(default_factory=set)
    # Records that malformed operations of this push were to create.
    lost: set[UUID] = field(default_factory=set)
    # Whether a missing record is given up, for those that were looked up.
    given_up: dict[UUID, bool] = field(default_factory=dict)
    # How many operations of this device the server keeps waiting.
    kept: int = 0

    # -- loading ---------------------------------------------------------------------------------

    async def load(self) -> None:
        """3. Load the receipts of these operations, what this device has waiting, and the rows they name."""
        tx = self.tx
        self.cases = {operation.id: Case(operation.id, operation) for operation in self.incoming.operations}
        ids = list(self.cases)
        of_device = ParkedOperation.device_id == self.device.device_id
        waiting = (
            select(ParkedOperation)
            .where(or_(of_device, tx.statements.among(ParkedOperation.operation_id, ids)))
            .order_by(ParkedOperation.number)
        )
        kept = (
            *(Receipt.operation_id, Receipt.account_id, Receipt.payload_hash),
            *(Receipt.outcome, Receipt.status, Receipt.seq),
        )
        async with Pipeline() as pipeline:
            parked = await pipeline.send(tx.session.scalars(waiting))
            self._read_inputs(self.incoming.operations)
            receipts = await pipeline.send(tx.statements.pick(Receipt.operation_id, ids, *kept))
            rows = (await parked).all()
            # Usually none of them is known.
            named = self._named(self.cases.values())
            found = (await receipts).all()
        for receipt in found:
            self._know(receipt)
        if rows:
            await self._resume(rows)
        if found:
            named = self._named(case for case in self.cases.values() if case.sent and not case.is_known)
        self.makes = named[0]
        await self._look_ahead(*named)

    def _know(self, receipt: Any) -> None:
        """Settle a case that has a receipt: the same content gets its outcome, other content a refusal."""
        case = self.cases[receipt.operation_id]
        assert case.sent is not None
        is_own = receipt.account_id == self.tx.actor.id
        case.reused = reuse_of(case.sent, receipt.payload_hash, is_own=is_own)
        case.know(Outcome.repeated(receipt.outcome, receipt.operation_id, receipt.status, receipt.seq))

    async def _resume(self, rows: Sequence[ParkedOperation]) -> None:
        """Resume the cases that earlier pushes left waiting."""
        elsewhere = [row for row in rows if row.device_id != self.device.device_id]
        for row in rows:
            if row.device_id == self.device.device_id:
                case = self.cases.setdefault(row.operation_id, Case(row.operation_id))
                if not case.is_known:
                    self.kept += 1
                    case.resume(row)
                    case.tell_waiting(self.device.next_number)
        if elsewhere:
            await self._resume_elsewhere(elsewhere)

    async def _resume_elsewhere(self, rows: Sequence[ParkedOperation]) -> None:
        """Find operations that another device of this account sent first: people copy an outbox to a new
        device.
        """
        found = await self.tx.session.scalars(
            select(DeviceState.device_id).where(
                DeviceState.account_id == self.tx.actor.id,
                DeviceState.device_id.in_({row.device_id for row in rows}),
            )
        )
        own = set(found)
        for row in rows:
            case = self.cases[row.operation_id]
            if case.sent is not None and not case.is_known:
                there = Case(row.operation_id, parked=row)
                is_own = row.device_id in own
                case.reused = reuse_of(case.sent, there.stored.payload_hash, is_own=is_own)
                case.wait(Reason.ELSEWHERE, self.device.next_number)

    async def _look_ahead(self, made: set[UUID], named: Mapping[type[Entity], set[UUID]]) -> None:
        """Read and lock every row that the operations name, with one statement for each entity."""
        await self.tx.flush()
        async with Pipeline() as pipeline:
            if made:
                await pipeline.send(self.tx.ahead.reserve(made))
            await self._read_named(named, pipeline)

    async def _read_named(self, named: Mapping[type[Entity], set[UUID]], pipeline: Pipeline) -> None:
        """Read one entity's rows while the previous entity's become objects; read the clocks once all rows
        are locked.
        """
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

    def _named(self, cases: Iterable[Case]) -> tuple[set[UUID], dict[type[Entity], set[UUID]]]:
        """Return the ids of the records that these operations create, and of the existing ones they name."""
        made: set[UUID] = set()
        named: dict[type[Entity], set[UUID]] = defaultdict(set)
        for case in cases:
            ready = self.read(case)
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

    # -- commands and inputs ---------------------------------------------------------------------

    def _read_inputs(self, operations: Iterable[PushedOperation]) -> None:
        """Read the inputs of one command all at once; where one of them is wrong, each is read by itself
        later.
        """
        alike: defaultdict[str, list[PushedOperation]] = defaultdict(list)
        for operation in operations:
            alike[operation.command].append(operation)
        for name, group in alike.items():
            command = self.commands.get(name)
            if command is None or not command.offline:
                continue
            with suppress(Refused):
                inputs = parse_many(command.input, [operation.input for operation in group])
                for operation, do in zip(group, inputs, strict=True):
                    self.cases[operation.id].ready = Ready(command, do)

    def read(self, case: Case) -> Ready | Refused:
        """Return the command and input of an operation, or why it has none."""
        if case.ready is None:
            try:
                case.ready = read_command(self.commands, case.operation)
            except Refused as refusal:
                case.ready = refusal
        return case.ready

    # -- decisions -------------------------------------------------------------------------------

    @property
    def decided(self) -> list[tuple[PushedOperation, Outcome]]:
        """The operations that this push decided, each with its outcome."""
        return [
            (case.operation, case.outcome)
            for case in self.cases.values()
            if case.is_decided_now and case.outcome is not None
        ]

    # -- waiting ---------------------------------------------------------------------------------

    def waiting_for(self, *reasons: Reason) -> Unit:
        """Return what waits for one of these reasons now, in the order of the numbers."""
        found = [case for case in self.cases.values() if case.is_waiting_for(*reasons)]
        return sorted(found, key=lambda case: case.number)

    def stopped(self) -> Unit:
        """Return what an error of ours stopped, and its dependents, in the order of their numbers."""
        found = [
            case
            for case in self.cases.values()
            if case.state is State.QUARANTINED or case.is_waiting_for(Reason.CRASHED, Reason.FOLLOWS)
        ]
        return sorted(found, key=lambda case: case.number)

    def is_overdue(self, unit: Unit) -> bool:
        """Return whether a unit has waited longer than anything may."""
        parked = unit[0].parked
        return parked is not None and self.patience is not None and parked.received_at < self.patience

    def keep_waiting(self, unit: Unit, reason: Reason, waits_for: UUID | None = None) -> None:
        """Let a unit wait. Where this device has too much waiting already, the device keeps it instead."""
        more = sum(case.parked is None and not case.begins_to_wait for case in unit)
        if more and self.kept + more > MOST_KEPT:
            reason, waits_for, more = Reason.NO_ROOM, None, 0
        self.kept += more
        for case in unit:
            case.wait(reason, self.device.next_number, waits_for)

    # -- records given up ------------------------------------------------------------------------

    def lose_malformed(self) -> None:
        """Give up the records that malformed operations were to create, unless another operation creates
        them.
        """
        self.lost = {
            record
            for operation, record in self.incoming.malformed
            if operation not in self.cases or self.cases[operation].parked is None
        }
        self.lost -= self.tx.notes.new
        self.given_up.update(dict.fromkeys(self.lost, True))

    @property
    def will_not_come(self) -> set[UUID]:
        """The records known to be given up."""
        return {id for id, gone in self.given_up.items() if gone}

    async def is_given_up(self, id: UUID) -> bool:
        """Return whether the operation that was to create this record was refused for good."""
        if id not in self.given_up:
            found = await given_up_among(self.tx.session, [id])
            self.given_up[id] = bool(found)
        return self.given_up[id]


def read_command(commands: Commands, operation: PushedOperation) -> Ready:
    """Return the command of an operation with its input; raises Refused where there is none."""
    command = commands.get(operation.command)
    if command is None:
        raise UnknownCommand(f"There is no command {operation.command[:80]!r}.", "command")
    if not command.offline:
        raise NotOffline(f"{operation.command} can be used online only.", "command")
    return Ready(command, command.parse(operation.input))


@dataclass
class Carefulness:
    """Which units run inside a savepoint: none at first, then those that were refused, then all."""

    units: set[UUID] = field(default_factory=set)
    everywhere: bool = False

    def with_unit(self, unit: Unit) -> bool:
        return self.everywhere or (bool(self.units) and unit[0].id in self.units)

    def take_care_of(self, unit: Unit) -> None:
        """Run this unit inside a savepoint next time. A restart repeats the whole push, so after a few all
        units do.
        """
        self.everywhere = len(self.units) >= _FEW
        self.units.add(unit[0].id)


_FEW = 3
