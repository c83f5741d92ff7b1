"""Why a record is or is not on a device: every reason."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.ask import answer, ask
from tests.support.clashes import Clashes
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.world import World, at
from tournee.reporting.sight import SightCode
from tournee.sync.devices.acknowledged import Acknowledged

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

DOCUMENT = (Path(__file__).parents[2] / "schema" / "operations" / "why_not_on_device.graphql").read_text()


@pytest.fixture
async def clashes(house: House) -> Clashes:
    made = await Clashes(await World(house).settle()).begin()
    # It has pushed once, so the server knows it.
    await made.device.do("acceptAppointment", appointmentId=made.visit.id, at=at(0))
    await made.device.pull()
    return made


async def why(clashes: Clashes, id: Any, _as: Any = "DISPATCHER", **about: Any) -> Any:
    about = about or {"deviceId": clashes.device.id}
    given = {name: str(value) for name, value in about.items()}
    return (await ask(clashes.house, DOCUMENT, _as, id=str(id), **given))["whyNotOnDevice"]


def codes(found: Any) -> list[str]:
    return [reason["code"] for reason in found["reasons"]]


async def acknowledge(device: TestDevice) -> None:
    """Acknowledge as the device's next pull with its cursor does."""
    assert device.cursor is not None
    noted = Acknowledged(device.house.database)
    noted.note(device.actor, device.id, device.cursor.seq)
    await noted.close()


async def test_a_visible_record_names_its_scope_and_whether_the_device_has_it(clashes: Clashes) -> None:
    found = await why(clashes, clashes.visit.id)
    assert (found["visible"], found["onDevice"], codes(found)) == (True, False, ["VISIBLE", "DEVICE_BEHIND"])
    assert found["reasons"][1]["acknowledgedSeq"] is None
    await acknowledge(clashes.device)
    found = await why(clashes, clashes.visit.id)
    assert (found["entity"], found["onDevice"], codes(found)) == ("Appointment", True, ["VISIBLE"])
    (scope,) = found["scopes"]
    assert (scope["scope"], scope["entity"], scope["held"]) == (str(clashes.visit.id), "Appointment", True)
    assert 0 < scope["sinceSeq"] <= clashes.device.base
    await clashes.office("updateAppointment", appointmentId=clashes.visit.id, instructions="Demo")
    found = await why(clashes, clashes.visit.id)
    assert codes(found) == ["VISIBLE", "DEVICE_BEHIND"]
    behind = found["reasons"][1]
    assert behind["acknowledgedSeq"] == clashes.device.base < behind["seq"]
    await clashes.device.pull()
    await acknowledge(clashes.device)
    assert codes(await why(clashes, clashes.visit.id)) == ["VISIBLE"]


async def test_asking_about_an_account_reveals_no_device(clashes: Clashes) -> None:
    found = await why(clashes, clashes.visit.id, accountId=clashes.technician.actor.id)
    assert (found["visible"], found["onDevice"], codes(found)) == (True, None, ["VISIBLE"])


async def test_a_record_outside_the_accounts_scopes_names_them_and_since_when(clashes: Clashes) -> None:
    order = await clashes.world.order()
    found = await why(clashes, order.id)
    assert (found["visible"], codes(found)) == (False, ["NO_SCOPE"])
    (scope,) = found["scopes"]
    assert (scope["scope"], scope["entity"], scope["held"], scope["lostSeq"]) == (
        str(order.id), "WorkOrder", False, None
    )  # fmt: skip
    other = await clashes.world.technician()
    await clashes.office("reassignAppointment", appointmentId=clashes.visit.id, technicianId=other.id)
    found = await why(clashes, clashes.visit.id)
    assert codes(found) == ["NO_SCOPE"]
    (scope,) = found["scopes"]
    assert scope["lostSeq"] == found["reasons"][0]["seq"] == await clashes.world.house.seq()
    assert scope["lostAt"] is not None
    # The visit returns to the technician who lost it.
    await clashes.office(
        "reassignAppointment", appointmentId=clashes.visit.id, technicianId=clashes.technician.id
    )
    (scope,) = (await why(clashes, clashes.visit.id))["scopes"]
    assert (scope["held"], scope["sinceSeq"], scope["lostSeq"]) == (
        True,
        await clashes.world.house.seq(),
        None,
    )


async def test_a_visit_outside_the_window_is_named_as_the_reason(clashes: Clashes) -> None:
    far = at(0) + timedelta(days=60)
    order = await clashes.world.order()
    visit = await clashes.world.visit(
        clashes.technician, order=order, startsAt=far, endsAt=far + timedelta(hours=1)
    )
    for id in (visit.id, order.id):
        found = await why(clashes, id)
        assert codes(found) == ["OUT_OF_WINDOW"]
        reason = found["reasons"][0]
        assert reason["appointmentId"] == str(visit.id)
        assert reason["windowFrom"] < reason["windowTo"] <= reason["startsAt"]


async def test_a_role_without_the_permission_is_named_as_the_reason(clashes: Clashes) -> None:
    portal = await clashes.house.account("CUSTOMER_PORTAL", customerId=clashes.world.customer.id)
    audit = await clashes.house.run("createAudit", "AUDITOR", title="Demo", siteId=clashes.world.site.id)
    found = await why(clashes, audit.id, accountId=portal.id)
    assert "ROLE_LACKS_SCOPE" in codes(found)
    assert found["reasons"][0]["requiredScope"] == "quality:read"


async def test_a_deleted_record_shows_when_it_was_deleted(clashes: Clashes) -> None:
    await clashes.office("deleteContact", contactId=clashes.contact.id)
    found = await why(clashes, clashes.contact.id)
    assert (codes(found), found["visible"]) == (["DELETED"], False)
    assert found["reasons"][0]["seq"] == await clashes.world.house.seq()


async def test_a_revoked_device_or_a_disabled_account_is_named_as_the_reason(clashes: Clashes) -> None:
    await clashes.house.run("enrolDevice", clashes.device.actor, id=clashes.device.id, name="Demo tablet")
    await clashes.device.pull()
    await acknowledge(clashes.device)
    assert codes(await why(clashes, clashes.visit.id)) == ["VISIBLE"]
    await clashes.house.run("revokeDevice", deviceId=clashes.device.id)
    found = await why(clashes, clashes.visit.id)
    assert (found["visible"], found["onDevice"]) == (True, False)
    assert codes(found) == ["VISIBLE", "DEVICE_REVOKED"]
    await clashes.house.run("disableAccount", accountId=clashes.technician.actor.id)
    assert "ACCOUNT_DISABLED" in codes(await why(clashes, clashes.visit.id))


async def test_a_missing_foreign_or_unreadable_record_is_unknown(clashes: Clashes) -> None:
    other = await House(clashes.house.database).found()
    foreign = await other.run("createCustomer", name="Foreign")
    # A dispatcher may not read accounts.
    for id in (uuid4(), foreign.id, clashes.device.actor.id, "nonsense"):
        found = await why(clashes, id)
        assert (found["visible"], found["entity"], found["scopes"]) == (False, None, [])
        assert codes(found) == ["RECORD_UNKNOWN"]


async def test_an_invisible_record_is_as_unknown_to_its_asker_as_a_missing_one(clashes: Clashes) -> None:
    own = clashes.technician.actor
    await acknowledge(clashes.device)
    found = await why(clashes, clashes.visit.id, own)
    assert (codes(found), found["onDevice"]) == (["VISIBLE"], True)
    hidden = await clashes.world.order()
    await clashes.office("deleteContact", contactId=clashes.contact.id)
    answers = [await why(clashes, id, own) for id in (hidden.id, clashes.contact.id, uuid4())]
    assert answers[0] == answers[1] == answers[2]
    assert codes(answers[0]) == ["RECORD_UNKNOWN"]
    # Without an account or device, the question is about the caller.
    found = (await ask(clashes.house, DOCUMENT, own, id=str(clashes.visit.id)))["whyNotOnDevice"]
    assert [reason["code"] for reason in found["reasons"]] == ["VISIBLE"]


async def test_only_the_office_asks_about_others_and_unknown_accounts_get_one_answer(
    clashes: Clashes,
) -> None:
    colleague = await clashes.house.account("TECHNICIAN")
    other = TestDevice(clashes.house, actor=colleague)
    await other.do("updateCustomer", customerId=uuid4(), phone="1")
    asked: list[dict[str, UUID]] = [
        {"accountId": colleague.id}, {"accountId": uuid4()}, {"deviceId": other.id}, {"deviceId": uuid4()}
    ]  # fmt: skip
    for about in asked:
        given = {name: str(id) for name, id in about.items()}
        told = await answer(
            clashes.house, DOCUMENT, clashes.technician.actor, id=str(clashes.visit.id), **given
        )
        assert told.codes == ["FORBIDDEN"]
    for about, code in (
        ({"deviceId": uuid4()}, "NOT_FOUND"),
        ({"accountId": uuid4()}, "NOT_FOUND"),
        ({"deviceId": clashes.device.id, "accountId": colleague.id}, "INVALID"),
    ):
        given = {name: str(id) for name, id in about.items()}
        told = await answer(clashes.house, DOCUMENT, "DISPATCHER", id=str(clashes.visit.id), **given)
        assert told.codes == [code]


async def test_an_office_role_sees_records_by_its_role(clashes: Clashes) -> None:
    dispatcher = await clashes.house.account("DISPATCHER")
    order = await clashes.world.order()
    found = await why(clashes, order.id, "MANAGER", accountId=dispatcher.id)
    assert (found["visible"], found["scopes"], codes(found)) == (True, [], ["VISIBLE"])


def test_every_reason_has_a_test() -> None:
    told = Path(__file__).read_text()
    assert all(f'"{code}"' in told for code in SightCode)
