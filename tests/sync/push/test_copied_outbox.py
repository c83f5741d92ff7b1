"""A person continues with a copied outbox on another device: work that was already sent is recognised."""

from __future__ import annotations

from typing import Any

from tests.support.desk import Bearer, Desk
from tournee.kernel.entity import new_id


def said(outcomes: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(outcome["status"], outcome["code"]) for outcome in outcomes]


async def test_work_sent_by_one_device_is_a_duplicate_from_its_copy(desk: Desk) -> None:
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
    # Work that the first device never sent is applied from the next one, once.
    assert said(await other.push(missing, fresh)) == [("applied", None)] * 2
    assert said(await desk.push(missing)) == [("duplicate", None)]
    assert said(await other.push(waits)) == said(await desk.push(waits)) == [("duplicate", None)]
    assert await desk.customers() == 4


async def test_the_same_id_with_other_content_or_author_is_refused(
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
