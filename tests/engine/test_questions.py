"""Questions keep to their session's organisation, and leave no broken connection behind."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, literal, select

from tests.support.house import House
from tournee.customers.models import Customer, Site
from tournee.engine.border import BorderCrossed
from tournee.engine.engines import outside_transactions
from tournee.kernel.question import OWN

NAMED = select(Customer.name).where(Customer.organisation_id == OWN)


async def names(house: House) -> list[str]:
    kernel = house.kernel
    [rows] = await kernel.ask(house.actor("MANAGER"), [kernel.question(NAMED, [])], {})
    return [name for (name,) in rows]


async def test_a_question_reads_its_organisation_alone(house: House) -> None:
    other = await House(house.database).found()
    await house.run("createCustomer", name="ours")
    await other.run("createCustomer", name="theirs")
    assert (await names(house), await names(other)) == (["ours"], ["theirs"])


@pytest.mark.parametrize(
    "statement",
    [
        select(Customer.name),
        select(Customer.name).where(Customer.organisation_id == Site.organisation_id),
        NAMED.where(Customer.id.in_(select(Site.customer_id))),
        NAMED.join(Site, Site.customer_id == Customer.id),
    ],
)
async def test_a_question_that_names_no_organisation_cannot_be_made(house: House, statement: Any) -> None:
    with pytest.raises(BorderCrossed):
        house.kernel.question(statement, [])


async def test_a_question_about_another_organisation_cannot_be_made(house: House) -> None:
    with pytest.raises(BorderCrossed):
        house.kernel.question(
            select(Customer.name).where(Customer.organisation_id == house.organisation_id), []
        )


async def test_a_lost_connection_does_not_return_to_the_pool(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    if house.database.is_sqlite:
        pytest.skip("SQLite has no connections to lose")
    await house.run("createCustomer", name="ours")
    question = house.kernel.question(NAMED, [])
    with monkeypatch.context() as patch:
        patch.setattr(question, "text", "SELECT pg_terminate_backend(pg_backend_pid())")
        patch.setattr(question, "parameters", lambda _: None)
        for _ in range(3):
            with pytest.raises(psycopg.OperationalError):
                await house.kernel.ask(house.actor("MANAGER"), [question], {})
    assert await names(house) == ["ours"]
    pool: Any = house.database.engine.pool
    assert pool.checkedout() == 0


SETTINGS = ("tournee.organisation", "transaction_isolation", "transaction_read_only", "jit", "timezone")


async def test_questions_and_sessions_read_in_the_same_kind_of_transaction(house: House) -> None:
    if house.database.is_sqlite:
        pytest.skip("SQLite has no settings")
    statement = select(*(func.current_setting(name) for name in SETTINGS))
    question = house.kernel.question(statement, [])
    async with house.reading() as session:
        expected = (await session.execute(statement)).one()
    for _ in range(8):
        # Also when the driver has prepared it.
        [[found]] = await house.kernel.ask(house.actor("MANAGER"), [question], {})
        assert tuple(found) == tuple(expected)
    assert expected[:3] == (str(house.organisation_id), "repeatable read", "on")
    async with outside_transactions(house.database.engine).connect() as connection:
        assert not await connection.scalar(select(func.current_setting(SETTINGS[0], True)))


async def test_a_question_that_fails_leaves_the_next_one_alone(house: House) -> None:
    await house.run("createCustomer", name="ours")
    if house.database.is_sqlite:
        fails = select(func.json_extract("{", "$"))
    else:
        fails = select(literal(1) / (func.length("") + 0))
    question, named = house.kernel.question(fails, []), house.kernel.question(NAMED, [])
    for _ in range(3):
        with pytest.raises((psycopg.Error, sqlite3.Error)):
            await house.kernel.ask(house.actor("MANAGER"), [named, question, named], {})
        assert await names(house) == ["ours"]


async def test_a_cancelled_question_leaves_the_next_one_alone(house: House) -> None:
    await house.run("createCustomer", name="ours")
    for wait in (0.0, 0.0005, 0.001, 0.002, 0.005):
        asking = asyncio.create_task(names(house))
        await asyncio.sleep(wait)
        asking.cancel()
        assert await names(house) == ["ours"]
        await asyncio.gather(asking, return_exceptions=True)
    assert await asyncio.gather(*(names(house) for _ in range(30))) == [["ours"]] * 30
