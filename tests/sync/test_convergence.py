"""After any command, a device that pulls the changes holds the same rows as a new copy.

Every command of the catalogue must have an example that shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from tests.support.device import TestDevice
from tests.support.house import House, wire
from tests.support.inline import without_threads
from tests.support.naming import watching
from tests.sync.copying import Copier
from tests.sync.examples import EXAMPLES
from tests.sync.examples.example import TODAY, Example, Payload
from tournee import demo
from tournee.auth.models import Account
from tournee.auth.organisations import actor_of
from tournee.auth.roles import Role
from tournee.catalogue import COMMANDS, MEMBERSHIPS
from tournee.engine.database import Database
from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel
from tournee.kernel.demo import demo_id
from tournee.kernel.log import Change, Member
from tournee.work.models import Appointment, Assignment

_OFFLINE = [name for name, command in COMMANDS.items() if command.offline]


def actor(house: House, role: str) -> Actor:
    """Return the demo account of this role; the technician is technician 1."""
    return actor_of(house.organisation_id, demo_id(f"account/{role.lower()}"), Role(role))


class Round:
    """The demo organisation in an example's initial state, with devices that have pulled it."""

    def __init__(self, house: House, name: str) -> None:
        self.house = house
        self.name = name
        self.example: Example = EXAMPLES[name]
        self.office = TestDevice(house, actor=actor(house, "MANAGER"))
        self.technician = TestDevice(house, actor=actor(house, "TECHNICIAN"))
        by_role = {"MANAGER": self.office, "TECHNICIAN": self.technician}
        role = self.example.role
        self.own = by_role.get(role) or TestDevice(house, actor=actor(house, role))
        self.devices = {id(device): device for device in (self.office, self.technician, self.own)}.values()

    async def begin(self) -> Payload:
        """Create the state and pull it; return the command's input."""
        late = {
            role: TestDevice(self.house, actor=actor(self.house, role)) for role, _, _ in self.example.late
        }
        for device in late.values():
            await device.pull()
        for role, command, payload in self.example.before:
            await self.house.run(command, actor(self.house, role), **payload)
        for role, command, payload in self.example.late:
            await push(late[role], command, payload)
        if self.example.prepare is not None:
            await self.example.prepare(self.house)
        for device in self.devices:
            await device.pull()
        self.earlier = {id(device): dict(device.rows) for device in self.devices}
        self.base = self.office.base
        return self.example.input(self.office.rows)

    async def check(self) -> None:
        """Let every device pull, and check the log and the copies."""
        async with self.house.reading() as session:
            commands = select(Change.command).where(
                Change.organisation_id == self.house.organisation_id, Change.seq > self.base
            )
            logged = {self.name, self.example.carries_out} - {None}
            assert set(await session.scalars(commands)) == (set() if self.example.unseen else logged)
        await self._check_memberships()
        for device in self.devices:
            await device.pull()
            assert device.rows == await device.fresh()
        assert self.changed(self.office) != self.example.unseen, "The example does not exercise enough."
        if self.example.reaches or self.own is self.technician:
            seen = self.changed(self.technician)
            assert seen != self.example.unseen, "The example does not reach the technician."

    async def _check_memberships(self) -> None:
        """What was kept up to date scope by scope is what follows from the records as a whole."""
        async with self.house.reading() as session:
            everybody = await session.scalars(select(Account.id))
            held = select(Member.account_id, Member.scope).where(Member.to_seq.is_(None))
            kept = {(account, scope) for account, scope in await session.execute(held)}
            assert kept == await MEMBERSHIPS.held_by(session, everybody)
            visits = {visit.id: visit.until for visit in await session.scalars(select(Appointment))}
            for assignment in await session.scalars(select(Assignment)):
                assert assignment.until == visits[assignment.appointment_id]

    def changed(self, device: TestDevice) -> bool:
        return device.rows != self.earlier[id(device)]


async def push(device: TestDevice, command: str, payload: Payload) -> Any:
    # `unit` is a name in the protocol and in some commands.
    operation = device.operation(command) | {"input": wire(payload)}
    (outcome,) = await device.push(operation)
    assert outcome.status in ("applied", "merged"), outcome
    return outcome


@pytest.fixture(scope="module", autouse=True)
def _in_one_thread() -> Iterator[None]:
    with without_threads():
        yield


@pytest.fixture(scope="module")
def demo_organisation(database_url: str) -> Copier:
    """Return the demo organisation, to be copied."""

    async def seed() -> None:
        database = Database(database_url)
        await demo.seed(Kernel(database, MEMBERSHIPS), TODAY)
        await database.close()

    asyncio.run(seed())
    return Copier(database_url, demo_id("organisation/demo"))


@pytest.fixture
def organisation(database: Database, demo_organisation: Copier) -> Iterator[House]:
    """Return this test's own copy of the demo organisation; its statements must name it."""
    house = House(database)
    house.organisation_id = demo_organisation.copy()
    with watching(database):
        yield house


def test_every_command_has_an_example_and_vice_versa() -> None:
    assert EXAMPLES.keys() == COMMANDS.keys()


@pytest.mark.prove_on("postgresql", "Commands that a device may queue are pushed there always.")
@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_run_online_reaches_every_device(organisation: House, name: str) -> None:
    example = Round(organisation, name)
    payload = await example.begin()
    await organisation.run(name, actor(organisation, example.example.role), **payload)
    await example.check()


@pytest.mark.parametrize("name", _OFFLINE)
async def test_a_command_pushed_from_a_device_reaches_every_other_device(
    organisation: House, name: str
) -> None:
    example = Round(organisation, name)
    await push(example.own, name, await example.begin())
    await example.check()
