"""Dependents of an operation that hit a server bug wait for it if they would be refused without it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import select

from tests.support.clashes import Clashes
from tests.support.field import checklist
from tests.support.house import House
from tests.support.world import World, at
from tournee.catalogue import COMMANDS
from tournee.kernel.conflict import Conflict, ConflictKind, ConflictStatus
from tournee.kernel.entity import new_id, now
from tournee.procedures.models import ChecklistRun
from tournee.sync.conflicts import OPERATION_QUARANTINED, OPERATION_REJECTED
from tournee.sync.messages import Outcome
from tournee.sync.models import ParkedOperation
from tournee.sync.push.push import Answer, push
from tournee.sync.push.request import PushRequest
from tournee.sync.waiting.reviving import revive_missed, revive_waiting

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def _crash(*_: Any) -> Any:
    raise ZeroDivisionError


class Visit(Clashes):
    """A technician at work whose required checklist hits a bug before the visit can be completed."""

    run: UUID
    broken = "completeChecklistRun"

    async def begin(self) -> Visit:
        await super().begin()
        _, version = await checklist(self.house, [{"key": "clean", "prompt": "Clean", "kind": "TEXT"}])
        run = await self.office(
            "addChecklistRun", versionId=version, appointmentId=self.visit.id, required=True
        )
        self.run = run.id
        await self.device.pull()
        await self.device.do("startWork", appointmentId=self.visit.id, at=at(0))
        return self

    def run_done(self, **more: Any) -> dict[str, Any]:
        return self.device.operation("completeChecklistRun", runId=self.run, at=at(50), **more)

    def visit_done(self, **more: Any) -> dict[str, Any]:
        return self.device.operation("completeAppointment", appointmentId=self.visit.id, at=at(60), **more)

    async def hand_in(self, *operations: Any, patience: Any = None) -> list[Outcome]:
        return (await self.answer(*operations, patience=patience)).outcomes

    async def answer(self, *operations: Any, patience: Any = None) -> Answer:
        """Push to a server on which one command hits a bug."""
        broken = dataclasses.replace(COMMANDS[self.broken], name="broken", function=_crash)
        commands = COMMANDS | {self.broken: broken}
        request = PushRequest(self.device.id, list(operations), patience=patience)
        return await push(self.house.kernel, commands, self.device.actor, request)

    async def parked(self) -> list[str]:
        async with self.house.reading() as session:
            found = await session.scalars(
                select(ParkedOperation)
                .where(ParkedOperation.organisation_id == self.house.organisation_id)
                .order_by(ParkedOperation.number)
            )
            return [one.reason for one in found]

    async def entries(self, kind: ConflictKind) -> list[Conflict]:
        found = await self.world.conflicts()
        return [one for one in found if one.kind is kind and one.status is ConflictStatus.OPEN]

    async def quarantine(self) -> Conflict:
        (entry,) = await self.entries(OPERATION_QUARANTINED)
        return entry

    async def status(self) -> str:
        return str((await self.read(self.visit)).status)


@pytest_asyncio.fixture
async def visit(house: House) -> Visit:
    return await Visit(await World(house).settle()).begin()


async def test_a_completion_waits_for_its_crashed_checklist_and_then_applies(visit: Visit) -> None:
    outcomes = await visit.hand_in(visit.run_done(), visit.visit_done())
    assert [(one.status, one.code) for one in outcomes] == [("parked", "INTERNAL"), ("parked", None)]
    assert "earlier operation" in (outcomes[1].message or "")
    # The bug is fixed by the next push.
    await visit.device.push()
    assert (await visit.parked(), await visit.status()) == ([], "COMPLETED")
    assert await visit.world.conflicts() == []


async def test_a_dependent_waits_for_the_decision_on_the_quarantined_operation(visit: Visit) -> None:
    first, second = visit.run_done(), visit.visit_done()
    await visit.hand_in(first)
    await visit.hand_in()
    (told,) = await visit.hand_in(second)
    assert (told.status, told.code) == ("parked", None)
    assert (await visit.hand_in(first, second))[1] == told
    entry = await visit.quarantine()
    assert [one["id"] for one in entry.theirs["waiting"]] == [second["id"]]
    await visit.resolve(entry, "RETRY", "MANAGER")
    assert (await visit.parked(), await visit.status()) == ([], "COMPLETED")


async def test_a_quarantine_entry_names_its_dependents(visit: Visit) -> None:
    first, second = visit.run_done(), visit.visit_done()
    await visit.hand_in(first, second)
    await visit.hand_in()
    assert await visit.parked() == ["QUARANTINED", "FOLLOWS"]
    assert [one["id"] for one in (await visit.quarantine()).theirs["waiting"]] == [second["id"]]


async def test_a_dependent_of_a_dismissed_operation_is_decided_as_usual(visit: Visit) -> None:
    first, second = visit.run_done(), visit.visit_done()
    await visit.hand_in(first, second)
    await visit.hand_in()
    await visit.resolve(await visit.quarantine(), "DISMISS", "MANAGER")
    assert (await visit.parked(), await visit.status()) == ([], "IN_PROGRESS")
    (told,) = await visit.hand_in(second)
    assert (told.status, told.code) == ("rejected", "BLOCKED")
    assert told.conflict is not None
    (refused,) = await visit.entries(OPERATION_REJECTED)
    assert refused.operation_ids == [second["id"]]


async def test_a_crashed_operation_delays_neither_other_work_nor_certain_refusals(visit: Visit) -> None:
    device = visit.device
    outcomes = await visit.hand_in(
        visit.run_done(),
        # Accepted although it is about the same visit.
        device.operation("addNote", appointmentId=visit.visit.id, text="Demo"),
        # It is about another record.
        device.operation("updateAsset", assetId=visit.asset.id, name=""),
        # Wrong in any case.
        device.operation("completeAppointment", appointmentId=visit.visit.id, at="today"),
        device.operation("cancelAppointment", appointmentId=visit.visit.id, reason="Demo"),
    )
    assert [(one.status, one.code) for one in outcomes] == [
        ("parked", "INTERNAL"),
        ("applied", None),
        ("rejected", "INVALID"),
        ("rejected", "INVALID"),
        ("rejected", "NOT_OFFLINE"),
    ]


async def test_the_rolled_back_changes_of_a_refused_unit_affect_nothing_later(visit: Visit) -> None:
    device, unit = visit.device, str(visit.device.id)
    asset, appointment = {"assetId": visit.asset.id}, {"appointmentId": visit.visit.id}
    outcomes = await visit.hand_in(
        visit.run_done(),
        device.operation("updateAsset", **asset, notes="Demo"),
        device.operation("updateAsset", **asset, notes="Demo refused") | {"unit": unit},
        device.operation("cancelAppointment", **appointment, reason="Demo") | {"unit": unit},
        visit.visit_done(),
    )
    assert [one.status for one in outcomes] == ["parked", "applied", "rejected", "rejected", "parked"]


async def test_work_before_a_crashed_operation_does_not_wait(visit: Visit) -> None:
    before, after = visit.visit_done(), visit.run_done()
    await visit.hand_in(after)
    (outcome,) = await visit.hand_in(before)
    assert (outcome.status, outcome.code) == ("rejected", "BLOCKED")


async def test_dependents_of_dependents_wait_too_and_apply_in_order(visit: Visit) -> None:
    other = await visit.world.visit(visit.technician, order=visit.order)
    await visit.device.pull()
    steps = [
        visit.device.operation(command, appointmentId=other.id, at=at(minute))
        for minute, command in enumerate(("startWork", "pauseWork", "resumeWork"))
    ]
    visit.broken = "startWork"
    await visit.hand_in(*steps)
    assert await visit.parked() == ["CRASHED", "FOLLOWS", "FOLLOWS"]
    await visit.device.push()
    assert (await visit.parked(), (await visit.read(other)).status) == ([], "IN_PROGRESS")
    assert await visit.world.conflicts() == []


async def test_a_completion_waits_for_a_crashed_checklist_in_the_same_push(visit: Visit) -> None:
    await visit.device.push(visit.run_done())
    (run,) = await visit.world.house.rows(ChecklistRun)
    made = {"versionId": run.version_id, "appointmentId": visit.visit.id, "required": True}
    visit.run = new_id()
    added = visit.device.operation("addChecklistRun", id=visit.run, **made)
    outcomes = await visit.hand_in(added, visit.run_done(), visit.visit_done())
    assert [one.status for one in outcomes] == ["applied", "parked", "parked"]
    await visit.device.push()
    assert (await visit.parked(), await visit.status()) == ([], "COMPLETED")


async def test_a_unit_waits_as_a_whole_for_an_earlier_crashed_operation(visit: Visit) -> None:
    unit = visit.device.id
    note = visit.device.operation("addNote", appointmentId=visit.visit.id, text="Demo")
    broke, note = visit.run_done() | {"number": note["number"]}, note | {"number": note["number"] + 1}
    done = visit.visit_done() | {"number": note["number"] + 1}
    outcomes = await visit.hand_in(broke, note | {"unit": str(unit)}, done | {"unit": str(unit)})
    assert [one.status for one in outcomes] == ["parked"] * 3
    await visit.device.push()
    assert (await visit.parked(), await visit.status()) == ([], "COMPLETED")


async def test_a_dependent_does_not_wait_for_ever(visit: Visit) -> None:
    first, second = visit.run_done(), visit.visit_done()
    await visit.hand_in(first, second)
    await visit.hand_in()
    kernel, own = visit.house.kernel, visit.house.organisation_id
    await revive_waiting(kernel, COMMANDS, own, now() - timedelta(days=1))
    assert await visit.parked() == ["QUARANTINED", "FOLLOWS"]
    await revive_waiting(kernel, COMMANDS, own, now() + timedelta(days=1))
    assert await visit.parked() == ["QUARANTINED"]
    (told,) = await visit.hand_in(second)
    assert (told.status, told.code) == ("rejected", "BLOCKED")
    assert len(await visit.entries(OPERATION_REJECTED)) == 1


async def test_a_decision_while_a_dependent_is_being_parked_is_not_missed(visit: Visit) -> None:
    await visit.hand_in(visit.run_done())
    await visit.hand_in()
    answer = await visit.answer(visit.visit_done())
    going_on, visit.house.kernel = visit.house.kernel, dataclasses.replace(visit.house.kernel, goes_on=None)
    await visit.resolve(await visit.quarantine(), "RETRY", "MANAGER")
    assert await visit.parked() == ["FOLLOWS"]
    await revive_missed(going_on, COMMANDS, visit.device.actor, visit.device.id, answer)
    assert (await visit.parked(), await visit.status()) == ([], "COMPLETED")


async def test_housekeeping_finds_a_missed_decision(visit: Visit) -> None:
    await visit.hand_in(visit.run_done(), visit.visit_done())
    await visit.hand_in()
    going_on, visit.house.kernel = visit.house.kernel, dataclasses.replace(visit.house.kernel, goes_on=None)
    await visit.resolve(await visit.quarantine(), "RETRY", "MANAGER")
    await revive_waiting(going_on, COMMANDS, visit.house.organisation_id, now() - timedelta(days=1))
    assert (await visit.parked(), await visit.status()) == ([], "COMPLETED")
