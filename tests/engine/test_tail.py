"""One query for the head serves simultaneous readers, and the cached tail never lacks a change."""

import asyncio
from uuid import UUID, uuid4

import pytest

from tests.support.device import TestDevice
from tests.support.house import House
from tournee.catalogue import ENTITIES
from tournee.engine import tail as tail_module
from tournee.engine.heads import Heads
from tournee.engine.tail import Moved, Recent, Tail
from tournee.kernel.head import HeadNow
from tournee.sync.pull.cursor import Cursor
from tournee.sync.pull.feed import Feed


class Slow(Heads):
    """Heads whose queries are answered when the test says so."""

    def __init__(self, house: House) -> None:
        super().__init__(house.database)
        self.epoch = uuid4()
        self.asked: list[asyncio.Future[int]] = []

    async def _read(self, organisations: object) -> dict[UUID, HeadNow]:
        question: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.asked.append(question)
        seq = await question
        return {id: HeadNow(self.epoch, seq, 0) for id in list(organisations)}  # type: ignore[call-overload]


async def test_an_answer_is_never_older_than_its_question(house: House) -> None:
    """A reader who asks during a query may have just pushed, so it gets the next answer."""
    heads, organisation = Slow(house), house.organisation_id
    early = [heads.now(organisation) for _ in range(3)]
    await asyncio.sleep(0)
    late = [heads.now(organisation) for _ in range(2)]
    await asyncio.sleep(0)
    heads.asked[0].set_result(1)
    assert [(await answer).seq for answer in early] == [1, 1, 1]
    assert not any(answer.done() for answer in late)
    heads.asked[1].set_result(2)
    assert [(await answer).seq for answer in late] == [2, 2]
    assert len(heads.asked) == 2


async def test_a_failed_question_fails_only_its_askers(house: House) -> None:
    heads, organisation = Slow(house), house.organisation_id
    first = heads.now(organisation)
    await asyncio.sleep(0)
    heads.asked[0].set_exception(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await first
    second = heads.now(organisation)
    await asyncio.sleep(0)
    heads.asked[1].set_result(7)
    assert (await second).seq == 7


async def test_a_write_is_in_the_writers_next_pull(house: House, tail: Tail) -> None:
    device = TestDevice(house, "MANAGER", tail=tail)
    await device.pull()
    for number in range(5):
        row = await house.run("createCustomer", name=f"Demo Bakery {number}")
        await device.pull()
        assert row.id in device.rows


async def test_the_tail_is_bounded_and_older_changes_are_read_from_the_database(
    house: House, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "MOST_RECORDS", 4)
    early, late = (TestDevice(house, "MANAGER", tail=tail) for _ in range(2))
    await early.pull()
    await tail.now(house.organisation_id)
    for number in range(9):
        await house.run("createCustomer", name=f"Demo Bakery {number}")
        recent = await tail.now(house.organisation_id)
        assert len(recent.records) <= 4
        await late.pull()
    assert recent.since > 1
    await early.pull()
    assert len(early.rows) == 9
    assert early.rows == late.rows == await early.fresh()


async def test_most_pulls_cost_only_the_query_for_the_head(
    house: House, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing changed for the technician; something did for the manager."""
    technician = TestDevice(house, actor=await house.account("TECHNICIAN"), tail=tail)
    manager = TestDevice(house, "MANAGER", tail=tail)
    for device in (technician, manager):
        await device.pull()
    await tail.now(house.organisation_id)
    customer = await house.run("createCustomer", name="Demo Bakery")

    async def asked(*_: object) -> None:
        raise AssertionError("The database was asked.")

    monkeypatch.setattr(technician.feed, "_read", asked)
    monkeypatch.setattr(manager.feed, "_read", asked)
    await technician.pull()
    await manager.pull()
    assert customer.id in manager.rows
    assert customer.id not in technician.rows


async def test_the_pages_made_from_the_tail_are_bounded(house: House, tail: Tail) -> None:
    """Office devices may pull with any limit."""
    await house.run("createCustomer", name="Demo")
    feed = Feed(house.database, tuple(ENTITIES.values()), tail)
    recent = await tail.now(house.organisation_id)
    for limit in range(1, 300):
        await feed.pull(house.actor(), Cursor(recent.head.epoch, 0), limit)
    assert 1 < len(recent.made) <= 100
    assert not tail._reading


def test_regrouped_accounts_count_towards_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tournee.engine.tail.MOST_MOVES", 10)
    head = HeadNow(uuid4(), 0, 0)
    recent = Recent(head, 0)
    for seq in range(1, 50):
        later = Recent(HeadNow(head.epoch, seq, 0), seq - 1)
        later.records[uuid4()] = Moved(seq, "Account", uuid4(), None)
        later.regrouped[account := uuid4()] = seq
        recent.join(later)
        assert len(recent.regrouped) <= 10
        assert not recent.knows(account, seq - 1)
        assert recent.knows(account, seq)
    assert not recent.knows(uuid4(), 1)
