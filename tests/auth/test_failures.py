"""Failed attempts are counted for all servers on PostgreSQL, by few short statements."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import delete, event, select

from tests.support.house import House
from tests.support.signing_in import PASSWORD, Form
from tournee.auth import commands, failures
from tournee.auth.attempts import BY_ADDRESS, BY_NAME, Guesses, SignIns, TooManyAttempts
from tournee.auth.failures import WINDOW, Failures, Limit, purge_failures
from tournee.auth.models import FailedAttempt
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now
from tournee.kernel.errors import Invalid

HERE = "127.0.0.1"


@pytest_asyncio.fixture(autouse=True)
async def _none_failed(database: Database) -> None:
    async with database.writing(ACROSS) as session:
        await session.execute(delete(FailedAttempt))
        await session.commit()


@pytest.fixture
def shared(database: Database) -> Failures:
    if database.is_sqlite:
        pytest.skip("SQLite serves one process, which counts in memory")
    return Failures(database)


async def rows(database: Database) -> list[FailedAttempt]:
    async with database.reading(ACROSS) as session:
        return list(await session.scalars(select(FailedAttempt)))


def at(monkeypatch: pytest.MonkeyPatch, time: datetime) -> None:
    monkeypatch.setattr(failures, "now", lambda: time)


async def test_a_name_must_wait_at_every_server_once_it_failed_at_any(
    shared: Failures, technician: Actor, email: str, sign_in: Form
) -> None:
    other = SignIns(shared)
    for _ in range(BY_NAME):
        await other.begin(email, HERE).failed()
    waiting = await sign_in(email)
    assert (waiting.status_code, waiting.json()["error"]) == (429, "slow_down")
    assert WINDOW - 60 < int(waiting.headers["Retry-After"]) <= WINDOW + 1
    assert await other.begin(email, "192.0.2.1").wait() == 0
    assert await other.begin("another", HERE).wait() == 0


async def test_wrong_passwords_at_this_server_count_at_the_others(
    shared: Failures, technician: Actor, email: str, sign_in: Form
) -> None:
    for _ in range(BY_NAME - 1):
        assert (await sign_in(email, "guess")).status_code == 400
    assert await SignIns(shared).begin(email, HERE).wait() == 0
    assert (await sign_in(email)).status_code == 200
    assert (await sign_in(email, "guess")).status_code == 400
    assert await SignIns(shared).begin(email, HERE).wait() > 0


async def test_an_address_must_wait_for_every_name(shared: Failures) -> None:
    one, other = SignIns(shared), SignIns(shared)
    for number in range(BY_ADDRESS):
        await one.begin(f"{number}", "2001:db8:1:2::1").failed()
    assert await other.begin("new", "2001:db8:1:2::2").wait() > 0
    assert await other.begin("new", "2001:db8:1:3::1").wait() == 0


async def test_the_wait_ends_when_the_first_of_the_last_failures_leaves_the_window(
    shared: Failures, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, limit = now(), (Limit.of(3, "a"), Limit.of(100, "b"))
    for number in range(4):
        at(monkeypatch, began + timedelta(seconds=10 * number))
        await shared.add(limit)
    assert await shared.wait(limit) == int(WINDOW) - 20 + 1
    at(monkeypatch, began + timedelta(seconds=10 + WINDOW))
    assert await shared.wait(limit) == 0


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """Collect the statements on failed attempts that the test causes, with what they do."""
    made: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "failed_attempt" in statement:
            made.append(statement.split(maxsplit=1)[0])

    engines = {database.engine.sync_engine, database._writes.sync_engine}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield made
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


async def test_an_attempt_costs_one_statement_and_only_a_failure_is_written(
    database: Database, statements: list[str]
) -> None:
    counted = SignIns(Failures(database))
    for succeeds in (True, False):
        attempt = counted.begin("a", HERE)
        assert await attempt.wait() == 0
        if succeeds:
            attempt.succeeded()
        else:
            await attempt.failed()
    written = ["SELECT", "SELECT", "DELETE", "INSERT"]
    assert statements == ([] if database.is_sqlite else written)


async def test_expired_failures_make_room_for_new_ones_and_are_purged(
    shared: Failures, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, limit = now(), (Limit.of(3, "a"),)
    for _ in range(5):
        await shared.add(limit)
    at(monkeypatch, began + timedelta(seconds=WINDOW + 60))
    await shared.add(limit)
    assert len(await rows(database)) == 1
    await purge_failures(database)
    assert len(await rows(database)) == 1
    at(monkeypatch, began + timedelta(seconds=3 * WINDOW))
    await purge_failures(database)
    assert await rows(database) == []


async def test_the_table_holds_neither_names_nor_addresses(shared: Failures, database: Database) -> None:
    await SignIns(shared).begin("ann@demo.example", "192.0.2.17").failed()
    found = await rows(database)
    assert len(found) == 2
    assert not any("ann" in row.key or "192" in row.key[:4] for row in found)
    assert {len(row.key) for row in found} == {32}


async def test_guesses_of_a_password_count_at_every_server(
    shared: Failures, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    technician = await house.account("TECHNICIAN", password=PASSWORD)
    other = await house.account("TECHNICIAN", password=PASSWORD)
    words = {"currentPassword": "guess", "newPassword": "another word"}
    for _ in range(BY_NAME):
        monkeypatch.setattr(commands, "GUESSES", Guesses())
        with pytest.raises(Invalid):
            await house.run("changePassword", technician, **words)
    monkeypatch.setattr(commands, "GUESSES", Guesses())
    with pytest.raises(TooManyAttempts):
        await house.run("changePassword", technician, **words | {"currentPassword": PASSWORD})
    await house.run("changePassword", other, **words | {"currentPassword": PASSWORD})
