"""Questions keep to their session's organisation, and leave no broken connection behind."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import select

from tests.support.house import House
from tournee.customers.models import Customer, Site
from tournee.engine import questions
from tournee.engine.border import BorderCrossed
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


def test_a_questions_organisation_is_a_parameter() -> None:
    assert questions.OWN.key == "organisation_id"
