"""Parts used offline take effect exactly once through /sync/push, in every retry and merge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from tests.stock.shop import ONE, Shop, Van
from tests.support.world import World
from tournee.kernel.actor import Actor
from tournee.kernel.entity import new_id, now

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

Bearer = Callable[[Actor], dict[str, str]]


class Phone:
    """A signed-in device that speaks HTTP."""

    def __init__(self, client: httpx2.AsyncClient, bearer: Bearer, actor: Actor) -> None:
        self.client = client
        self.device = str(uuid4())
        self.headers = bearer(actor)
        self.number = 0
        self.base = 0

    def operation(self, command: str, *, unit: UUID | None = None, **input: Any) -> dict[str, Any]:
        self.number += 1
        given = {name: str(value) if isinstance(value, UUID) else value for name, value in input.items()}
        made = {
            "id": str(new_id()),
            "number": self.number,
            "command": command,
            "input": given,
            "base": self.base,
            "occurredAt": now().isoformat(),
        }
        return made | ({"unit": str(unit)} if unit else {})

    async def push(self, *operations: Any) -> list[dict[str, Any]]:
        body = {"device": self.device, "app": "demo/1", "schema": 1, "operations": list(operations)}
        answer = await self.client.post("/sync/push", json=body, headers=self.headers)
        assert answer.status_code == 200, answer.text
        self.base = max(self.base, answer.json()["checkpoint"])
        outcomes: list[dict[str, Any]] = answer.json()["outcomes"]
        return outcomes

    async def pull(self) -> dict[str, Any]:
        """Pull everything that this person may see."""
        rows, cursor = {}, None
        while True:
            parameters = {"cursor": cursor} if cursor else {}
            answer = await self.client.get("/sync/pull", params=parameters, headers=self.headers)
            page = answer.json()
            rows.update((change["id"], change["record"]) for change in page["changes"] if "record" in change)
            self.base = max([self.base, *(change["seq"] for change in page["changes"])])
            cursor = page["cursor"]
            if not page["more"]:
                return rows


@pytest.fixture
def phone(client: httpx2.AsyncClient, bearer: Bearer) -> Callable[[Van], Phone]:
    return lambda van: Phone(client, bearer, van.actor)


Phones = Callable[[Van], Phone]


def statuses(outcomes: list[dict[str, Any]]) -> list[str]:
    return [outcome["status"] for outcome in outcomes]


async def test_a_use_resent_after_a_lost_answer_applies_once(shop: Shop, phone: Phones) -> None:
    van = await shop.van(filled=5)
    own = phone(van)
    batch = [own.operation("usePart", **shop.used(van, 2, id=new_id())) for _ in range(2)]
    lost = await own.push(*batch)
    again = await own.push(*batch)
    assert (statuses(lost), statuses(again)) == (["applied"] * 2, ["duplicate"] * 2)
    assert [outcome["record"]["id"] for outcome in again] == [o["input"]["id"] for o in batch]
    assert await shop.level(van.id) == 1


async def test_one_batch_pushed_many_times_at_once_applies_once(shop: Shop, phone: Phones) -> None:
    van = await shop.van(filled=20)
    own = phone(van)
    batch = [own.operation("usePart", **shop.used(van, id=new_id())) for _ in range(6)]
    answers = await asyncio.gather(*(own.push(*batch) for _ in range(4)))
    assert sorted(status for answer in answers for status in statuses(answer)) == (
        ["applied"] * 6 + ["duplicate"] * 18
    )
    assert (await shop.level(van.id), len(await shop.movements())) == (14, 7)


async def test_a_movement_sent_by_two_operations_is_one_movement(shop: Shop, phone: Phones) -> None:
    """This happens when a device has lost its outbox's state, or a person has two outboxes."""
    van = await shop.van(filled=5)
    own = phone(van)
    used = shop.used(van, 2, id=new_id())
    first, second = await own.push(own.operation("usePart", **used), own.operation("usePart", **used))
    [third] = await own.push(own.operation("usePart", **used))
    assert statuses([first, second, third]) == ["applied"] * 3
    assert {outcome["record"]["id"] for outcome in (first, second, third)} == {str(used["id"])}
    assert (await shop.level(van.id), len(await shop.movements())) == (3, 2)


async def test_a_count_sent_by_two_operations_is_one_count(shop: Shop, phone: Phones) -> None:
    van = await shop.van(filled=5)
    own = phone(van)
    counted = shop.counted(van, 3, id=new_id())
    await own.push(own.operation("countStock", **counted))
    await own.push(own.operation("usePart", **shop.used(van)))
    await own.push(own.operation("countStock", **counted))
    assert (await shop.level(van.id), len(await shop.counts())) == (2, 1)


async def test_an_id_reused_for_another_movement_is_refused(shop: Shop, phone: Phones) -> None:
    van = await shop.van(filled=5)
    own = phone(van)
    used = shop.used(van, 2, id=new_id())
    outcomes = await own.push(
        own.operation("usePart", **used),
        own.operation("usePart", **used | {"quantity": 3 * ONE}),
        own.operation("usePart", **shop.used(van)),
    )
    assert [(o["status"], o["code"]) for o in outcomes] == [
        ("applied", None),
        ("rejected", "INVALID"),
        ("applied", None),
    ]
    assert await shop.level(van.id) == 2


async def test_two_equal_uses_with_different_ids_are_two_movements(shop: Shop, phone: Phones) -> None:
    """Ids decide whether two movements are the same, not their content."""
    van = await shop.van(filled=5)
    own = phone(van)
    await own.push(*(own.operation("usePart", **shop.used(van)) for _ in range(2)))
    assert await shop.level(van.id) == 3


async def test_a_resent_unit_applies_once_and_a_refused_one_not_at_all(shop: Shop, phone: Phones) -> None:
    van = await shop.van(filled=5)
    own = phone(van)
    unit, broken = uuid4(), uuid4()
    swap = [
        own.operation("usePart", unit=unit, **shop.used(van)),
        own.operation("returnPart", unit=unit, partId=shop.part, toLocationId=van.id, quantity=2 * ONE),
    ]
    refused = [
        own.operation("usePart", unit=broken, **shop.used(van)),
        own.operation("usePart", unit=broken, **shop.used(van) | {"partId": uuid4()}),
    ]
    for expected in (["applied", "applied"], ["duplicate", "duplicate"]):
        outcomes = await own.push(*swap, *refused)
        assert statuses(outcomes[:2]) == expected
        assert [outcome["code"] for outcome in outcomes[2:]] == ["UNIT_REFUSED", "NOT_FOUND"]
    assert await shop.level(van.id) == 6
    await shop.agree()


async def test_two_devices_using_the_last_piece_leave_both_uses_and_one_discrepancy(
    shop: Shop, phone: Phones
) -> None:
    vans = [await shop.van(), await shop.van()]
    await shop.fill(shop.warehouse, 1)
    phones = [phone(van) for van in vans]
    used = {"partId": shop.part, "fromLocationId": shop.warehouse, "quantity": ONE}
    answers = await asyncio.gather(*(own.push(own.operation("usePart", **used)) for own in phones))
    assert [statuses(answer) for answer in answers] == [["applied"], ["applied"]]
    [task] = await shop.discrepancies()
    assert (await shop.level(shop.warehouse), task.level, len(await shop.movements())) == (-1, -ONE, 3)
    await shop.agree()


async def test_a_part_used_on_a_visit_reassigned_meanwhile_is_applied(shop: Shop, phone: Phones) -> None:
    van, colleague = await shop.van(filled=5), await shop.van()
    world = await World(shop.house).settle()
    order = await world.order()
    visit = await world.visit(order=order)
    assigned = {"appointmentId": visit.id, "technicianId": van.technician_id}
    await shop.house.run("assignTechnician", **assigned)
    own = phone(van)
    await own.pull()
    used = own.operation("usePart", **shop.used(van, appointmentId=visit.id))
    await shop.house.run("reassignAppointment", appointmentId=visit.id, technicianId=colleague.technician_id)
    await shop.house.run("cancelAppointment", appointmentId=visit.id, reason="Demo")
    await shop.house.run("updatePart", partId=shop.part, discontinued=True)
    [outcome] = await own.push(used)
    assert (outcome["status"], outcome["record"]["workOrderId"]) == ("applied", str(order.id))
    assert await shop.level(van.id) == 4


async def test_a_repeated_movement_is_recognised_although_its_visit_is_no_longer_visible(
    shop: Shop, phone: Phones
) -> None:
    """After a refusal the device would undo a stored movement; another device is refused as usual."""
    van, colleague = await shop.van(filled=5), await shop.van(filled=5)
    world = await World(shop.house).settle()
    visit = await world.visit(order=await world.order())
    await shop.house.run("assignTechnician", appointmentId=visit.id, technicianId=van.technician_id)
    own, other = phone(van), phone(colleague)
    await own.pull()
    used = shop.used(van, 2, id=new_id(), appointmentId=visit.id)
    counted = shop.counted(van, 3, id=new_id())
    assert statuses(await own.push(own.operation("usePart", **used))) == ["applied"]
    assert statuses(await own.push(own.operation("countStock", **counted))) == ["applied"]
    await shop.house.run("reassignAppointment", appointmentId=visit.id, technicianId=colleague.technician_id)
    await shop.house.run("updateStockLocation", stockLocationId=van.id, technicianId=colleague.technician_id)
    assert str(visit.id) not in await own.pull()
    own.base = await world.house.seq()
    again = await own.push(own.operation("usePart", **used), own.operation("countStock", **counted))
    assert statuses(again) == ["applied"] * 2
    changed = {**used, "quantity": 1 * ONE}
    assert [one["status"] for one in await own.push(own.operation("usePart", **changed))] == ["rejected"]
    await other.pull()
    [outcome] = await other.push(other.operation("usePart", **used))
    assert (outcome["status"], outcome["code"]) == ("rejected", "INVALID")
    assert await shop.level(van.id) == 3
    taken_back = own.operation("reverseStockMovement", id=new_id(), movementId=used["id"])
    assert statuses(await own.push(taken_back)) == ["applied"]


async def test_movements_in_a_van_before_its_handover_are_applied(shop: Shop, phone: Phones) -> None:
    van, colleague = await shop.van(filled=5), await shop.van()
    own = phone(van)
    await own.pull()
    used = own.operation("usePart", **shop.used(van, 2))
    await shop.house.run("updateStockLocation", stockLocationId=van.id, technicianId=colleague.technician_id)
    assert statuses(await own.push(used)) == ["applied"]
    later = own.operation("usePart", **shop.used(van, 2))
    assert [outcome["code"] for outcome in await own.push(later)] == ["NOT_FOUND"]
    assert await shop.level(van.id) == 3


async def test_two_devices_reversing_one_movement_reverse_it_once(shop: Shop, phone: Phones) -> None:
    van = await shop.van(filled=5)
    wrong = await shop.house.run("usePart", van.actor, **shop.used(van, 2))
    devices = [phone(van), phone(van)]
    answers = await asyncio.gather(
        *(own.push(own.operation("reverseStockMovement", movementId=wrong.id)) for own in devices)
    )
    codes = sorted(str(outcome["code"]) for answer in answers for outcome in answer)
    assert codes == ["CONFLICT", "None"]
    assert await shop.level(van.id) == 5
    await shop.agree()


@pytest.mark.parametrize("together", [True, False], ids=["in one push", "in two"])
async def test_reversing_a_movement_twice_from_one_device_applies_once(
    shop: Shop, phone: Phones, together: bool
) -> None:
    van = await shop.van(filled=5)
    wrong = await shop.house.run("usePart", van.actor, **shop.used(van, 2))
    own = phone(van)
    twice = [own.operation("reverseStockMovement", movementId=wrong.id, id=new_id()) for _ in range(2)]
    told = await own.push(*twice) if together else [*await own.push(twice[0]), *await own.push(twice[1])]
    assert [(one["status"], one["code"], one["conflict"]) for one in told] == [("applied", None, None)] * 2
    other = own.operation("reverseStockMovement", movementId=wrong.id, note="Demo: something else")
    assert [outcome["code"] for outcome in await own.push(other)] == ["CONFLICT"]
    (again,) = await own.push(twice[1])
    assert (again["status"], again["code"]) == ("duplicate", None)
    assert await shop.level(van.id) == 5
    await shop.agree()
