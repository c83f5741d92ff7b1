"""Waking waiting requests after one query that serves them all."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from tests.support.house import House
from tournee.engine.tail import Tail
from tournee.sync.http.wake import Wake


class Asked(Exception):
    """The head was queried."""


class Looking:
    """Queries that end when the test says so."""

    def __init__(self) -> None:
        self.seen: list[UUID] = []
        self.go_on = asyncio.Event()

    async def __call__(self, organisation_id: UUID) -> None:
        self.seen.append(organisation_id)
        await self.go_on.wait()


async def waiting(wake: Wake, organisation_id: UUID, count: int) -> list[asyncio.Task[int | None]]:
    tasks = [asyncio.create_task(wake.wait(organisation_id, 0, 5.0)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_one_query_wakes_all_waiting_requests(house: House) -> None:
    look, mine = Looking(), house.organisation_id
    wake = Wake(house.database, look=look)
    tasks = await waiting(wake, mine, 100)
    others = await waiting(wake, uuid4(), 1)
    wake.heard(mine, 7)
    await asyncio.sleep(0)
    assert (look.seen, any(task.done() for task in tasks)) == ([mine], False)
    look.go_on.set()
    assert set(await asyncio.gather(*tasks)) == {7}
    assert (look.seen, others[0].done()) == ([mine], False)
    others[0].cancel()


async def test_a_change_announced_during_a_query_is_queried_too(house: House) -> None:
    look, mine = Looking(), house.organisation_id
    wake = Wake(house.database, look=look)
    tasks = await waiting(wake, mine, 2)
    for seq in (7, 8):
        wake.heard(mine, seq)
        await asyncio.sleep(0)
    assert look.seen == [mine]
    look.go_on.set()
    assert await asyncio.gather(*tasks) == [8, 8]
    await asyncio.sleep(0)
    assert look.seen == [mine, mine]


async def test_a_failed_query_still_wakes_all_waiting_requests(house: House) -> None:
    async def fail(_organisation_id: UUID) -> None:
        raise OSError

    wake = Wake(house.database, look=fail)
    tasks = await waiting(wake, house.organisation_id, 2)
    wake.heard(house.organisation_id, 7)
    async with asyncio.timeout(2):
        assert await asyncio.gather(*tasks) == [7, 7]


async def test_a_cached_head_is_not_queried_again(
    house: House, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = house.organisation_id
    recent = await tail.now(mine)

    def now(_organisation_id: UUID) -> asyncio.Future[object]:
        raise Asked

    with monkeypatch.context() as patched:
        patched.setattr(tail.heads, "now", now)
        assert await tail.reaching(mine, recent.head.seq) is recent
        with pytest.raises(Asked):
            await tail.reaching(mine, recent.head.seq + 1)
    customer = await house.run("createCustomer", name="Demo Bakery")
    later = await tail.reaching(mine, recent.head.seq + 1)
    assert customer.id in later.records


async def test_the_cached_heads_are_bounded_and_finished_waits_leave_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tournee.sync.http.wake._MOST_ORGANISATIONS", 3)
    wake = Wake(house.database)
    for _ in range(10):
        wake.heard(uuid4(), 1)
    wake.heard(house.organisation_id, 7)
    assert len(wake._newest) == 3
    assert await wake.wait(house.organisation_id, 0, 5.0) == 7
    assert await wake.wait(uuid4(), 0, 0.0) is None
    assert not wake._waiting


async def seq_after(house: House, wake: Wake) -> int | None:
    """Wait for a change that another process makes; nothing in this process announces it."""
    house.database.listeners.clear()
    seq = (await wake._heads.now(house.organisation_id)).seq
    waiting = asyncio.create_task(wake.wait(house.organisation_id, seq, 4.0))
    await house.run("createCustomer", name="Demo Bakery")
    return await waiting


@pytest.mark.parametrize("listens", [True, False])
async def test_a_server_hears_of_changes_or_looks_for_them(
    house: House, tail: Tail, listens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if house.database.is_sqlite:
        pytest.skip("SQLite serves one process")
    # Only the means that is meant can bring the change in time.
    monkeypatch.setattr("tournee.sync.http.wake.LOOK_AGAIN_SECONDS", 0.2)
    if listens:
        monkeypatch.setattr("tournee.sync.http.wake.LOOK_AGAIN_SECONDS", 60.0)
    asked: list[UUID] = []
    url = house.database.url if listens else ""
    wake = Wake(house.database, tail.heads, ask_anew=asked.append, listen_url=url)
    with capture_logs() as logs:
        await wake.start()
    try:
        await asyncio.sleep(0.5)
        assert await seq_after(house, wake) is not None
        told = [entry["every_seconds"] for entry in logs if entry["event"] == "wake_polls"]
        assert told == ([] if listens else [1.0])
        assert bool(asked) is not listens
    finally:
        house.database.listeners.append(wake.heard)
        await wake.stop()


async def test_only_the_listen_url_is_listened_at(house: House) -> None:
    if house.database.is_sqlite:
        pytest.skip("SQLite serves one process")
    wake = Wake(house.database, listen_url="postgresql://nobody@127.0.0.1:1/none")
    with capture_logs() as logs:
        await wake.start()
        await asyncio.sleep(0.5)
        await wake.stop()
    assert [entry["event"] for entry in logs] == ["wake_listener_lost"]
