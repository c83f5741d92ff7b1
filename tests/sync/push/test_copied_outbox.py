"""Somebody goes on with a copied outbox on another device: what the first has handed in is known."""

from __future__ import annotations

from typing import Any

from tests.support.desk import Bearer, Desk
from tournee.kernel.entity import new_id


def said(outcomes: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(outcome["status"], outcome["code"]) for outcome in outcomes]


async def test_what_one_device_has_handed_in_is_known_on_the_next(desk: Desk) -> None:
    applied, refused = desk.operation(), desk.operation(input={"name": []})
    unread = desk.operation(occurredAt="now")
    missing, waits, fresh = desk.operation(), desk.operation(), desk.operation()
    await desk.push(applied, refused, unread, waits)
    before = await desk.customers()
    other = Desk(desk.house, desk.client, desk.headers, str(new_id()))
    for _ in range(2):
        assert said(await other.push(applied, refused, unread, waits)) == [
            ("duplicate", None), ("rejected", "INVALID"), ("rejected", "INVALID"), ("parked", None)
        ]  # fmt: skip
    assert await desk.customers() == before == 1
    # What the first device never handed in is carried out by the next, and once.
    assert said(await other.push(missing, fresh)) == [("applied", None)] * 2
    assert said(await desk.push(missing)) == [("duplicate", None)]
    assert said(await other.push(waits)) == said(await desk.push(waits)) == [("duplicate", None)]
    assert await desk.customers() == 4


async def test_with_another_content_or_of_another_person_it_is_not_the_same(
    desk: Desk,
    bearer: Bearer,
) -> None:
    done, _missing, waits = desk.operation(), desk.operation(), desk.operation()
    await desk.push(done, waits)
    other = Desk(desk.house, desk.client, desk.headers, str(new_id()))
    changed = [one | {"input": {"name": "Demo other"}} for one in (done, waits)]
    assert said(await other.push(*changed)) == [("rejected", "OPERATION_REUSED")] * 2
    somebody = Desk(desk.house, desk.client, bearer(await desk.house.account("MANAGER")), str(new_id()))
    outcomes = await somebody.push(done, waits)
    assert said(outcomes) == [("rejected", "OPERATION_REUSED")] * 2
    assert {outcome["message"] for outcome in outcomes} == {
        "This operation was received from another account."
    }
    assert await desk.customers() == 1
