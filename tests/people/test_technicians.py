"""Technicians: their profiles, what they see of each other, and their skills."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from tests.support.device import TestDevice
from tests.support.house import House, seen
from tournee.kernel.entity import now
from tournee.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Refused
from tournee.kernel.log import Change
from tournee.people.jobs import move_windows
from tournee.people.models import (
    Absence,
    Shift,
    Skill,
    Technician,
    TechnicianProfile,
    TechnicianSkill,
    Territory,
)


async def profile(house: House, technician: Technician) -> TechnicianProfile:
    async with house.reading() as session:
        own = TechnicianProfile.technician_id == technician.id
        return (await session.scalars(select(TechnicianProfile).where(own))).one()


async def test_a_technician_sees_colleagues_without_their_home_addresses(house: House) -> None:
    one, actor = await house.technician(homeLatitude=48.5, homeLongitude=2.5, efficiency=1.5)
    two, _ = await house.technician("Demo Two", homeLatitude=49.5, homeLongitude=2.5)
    assert await seen(house, Technician, actor) == {one.id, two.id}
    async with house.reading() as session:
        profiles = (await session.scalars(select(TechnicianProfile))).all()
        mine = {profile.id for profile in profiles if profile.technician_id == one.id}
    assert await seen(house, TechnicianProfile, actor) == mine
    assert len(await seen(house, TechnicianProfile, house.actor("DISPATCHER"))) == 2


async def test_a_technician_sees_only_their_own_skills_shifts_and_absences(house: House) -> None:
    one, actor = await house.technician()
    two, other = await house.technician("Demo Two")
    skill = await house.run("createSkill", name="Gas")
    territory = await house.run("createTerritory", name="North")
    for person in (one, two):
        await house.run("createTechnicianSkill", technicianId=person.id, skillId=skill.id)
        times = {"startsAt": now(), "endsAt": now() + timedelta(hours=1)}
        await house.run("createShift", technicianId=person.id, **times)
        await house.run("requestAbsence", technicianId=person.id, **times)
    for model in (TechnicianSkill, Shift, Absence):
        assert len(await seen(house, model, actor)) == 1
        assert not await seen(house, model, actor) & await seen(house, model, other)
        assert len(await seen(house, model, house.actor("AUDITOR"))) == 2
    assert await seen(house, Skill, actor) == {skill.id}
    assert await seen(house, Territory, actor) == {territory.id}


async def test_an_account_sees_its_technicians_profile_only_while_linked_and_active(house: House) -> None:
    one, first = await house.technician()
    second = await house.account("TECHNICIAN")
    await house.run("updateTechnician", technicianId=one.id, accountId=second.id)
    assert await seen(house, TechnicianProfile, first) == set()
    assert len(await seen(house, TechnicianProfile, second)) == 1
    await house.run("updateTechnician", technicianId=one.id, status="INACTIVE")
    assert await seen(house, TechnicianProfile, second) == set()
    await house.run("updateTechnician", technicianId=one.id, status="ACTIVE")
    assert len(await seen(house, TechnicianProfile, second)) == 1
    await house.run("updateTechnician", technicianId=one.id, accountId=None)
    assert await seen(house, TechnicianProfile, second) == set()


async def test_an_account_belongs_to_at_most_one_technician(house: House) -> None:
    _, actor = await house.technician()
    two, _ = await house.technician("Demo Two")
    with pytest.raises(Conflict, match="another technician"):
        await house.run("createTechnician", name="Demo Three", accountId=actor.id)
    with pytest.raises(Conflict, match="another technician"):
        await house.run("updateTechnician", technicianId=two.id, accountId=actor.id)


async def test_a_technicians_account_must_be_in_the_same_organisation(house: House) -> None:
    """Another organisation's account and an unknown one get the same refusal, with the field."""
    one, _ = await house.technician()
    foreign = await (await House(house.database).found()).account("TECHNICIAN")
    for command, given in (
        ("createTechnician", {"name": "Demo"}),
        ("updateTechnician", {"technicianId": one.id}),
    ):
        refusals = []
        for id in (foreign.id, uuid4()):
            with pytest.raises(NotFound) as refusal:
                await house.run(command, "DISPATCHER", accountId=id, **given)
            refusals.append((refusal.value.message, refusal.value.field))
        assert refusals == [("There is no such Account.", "accountId")] * 2
    assert await seen(house, Technician, house.actor("DISPATCHER")) == {one.id}


async def test_a_technician_edits_only_their_own_phone_number(house: House) -> None:
    one, actor = await house.technician()
    two, _ = await house.technician("Demo Two")
    changed = await house.run("updateOwnDetails", actor, technicianId=one.id, phone="+33 1")
    assert changed.phone == "+33 1"
    with pytest.raises(Forbidden):
        await house.run("updateOwnDetails", actor, technicianId=two.id, phone="+33 2")
    with pytest.raises(Forbidden):
        await house.run("updateTechnician", actor, technicianId=one.id, name="Boss")


@pytest.mark.parametrize(
    "bad",
    [
        {"efficiency": 0.05},
        {"efficiency": 11},
        {"timeZone": "Mars/Crater"},
        {"homeLatitude": 91, "homeLongitude": 0},
        {"homeLatitude": 10},
        {"kind": "ROBOT"},
        {"windowFrom": "2026-01-01T00:00:00Z"},
        {"name": "x" * 121},
    ],
)
async def test_a_technician_with_bad_values_is_refused(house: House, bad: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        await house.run("createTechnician", **{"name": "Demo", **bad})


@pytest.mark.parametrize(
    "window",
    [
        {"windowFrom": "9999-12-31T00:00:00Z"},
        {"windowFrom": "2026-02-01T00:00:00Z", "windowTo": "2026-01-01T00:00:00Z"},
    ],
)
async def test_an_impossible_window_is_refused(house: House, window: dict[str, str]) -> None:
    one, _ = await house.technician()
    with pytest.raises(Invalid):
        await house.run("moveWindow", technicianId=one.id, **window)


async def test_another_organisations_technicians_are_not_found(house: House) -> None:
    other = await House(house.database).found()
    foreign, _ = await other.technician()
    skill = await house.run("createSkill", name="Gas")
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("updateTechnician", {"technicianId": foreign.id, "name": "Mine"}),
        ("createTechnicianSkill", {"technicianId": foreign.id, "skillId": skill.id}),
        ("createShift", {"technicianId": foreign.id, "startsAt": now(), "endsAt": now()}),
        ("requestAbsence", {"technicianId": foreign.id, "startsAt": now(), "endsAt": now()}),
        ("moveWindow", {"technicianId": foreign.id, "windowFrom": now()}),
    ]
    for name, given in attempts:
        with pytest.raises(NotFound):
            await house.run(name, **given)


async def test_an_expiring_skill_needs_an_end_date(house: House) -> None:
    one, _ = await house.technician()
    skill = await house.run("createSkill", name="Gas", expires=True)
    with pytest.raises(Invalid, match="expires"):
        await house.run("createTechnicianSkill", technicianId=one.id, skillId=skill.id)
    held = await house.run(
        "createTechnicianSkill",
        technicianId=one.id,
        skillId=skill.id,
        validFrom="2026-01-01",
        validTo="2026-12-31",
    )
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 12, 31), date(2027, 1, 1)]
    assert [held.is_valid_on(day) for day in days] == [False, True, True, False]
    with pytest.raises(Invalid, match="expires"):
        await house.run("updateTechnicianSkill", technicianSkillId=held.id, validTo=None)
    with pytest.raises(Invalid, match="before it begins"):
        await house.run("updateTechnicianSkill", technicianSkillId=held.id, validTo="2025-01-01")


async def test_a_territory_cannot_be_its_own_parent(house: House) -> None:
    country = await house.run("createTerritory", name="Country")
    north = await house.run("createTerritory", name="North", parentId=country.id)
    harbour = await house.run("createTerritory", name="Harbour", parentId=north.id)
    for parent in (country, harbour):
        with pytest.raises(Invalid) as refusal:
            await house.run("updateTerritory", territoryId=country.id, parentId=parent.id)
        assert refusal.value.field == "parentId"


async def test_a_technician_has_at_most_one_primary_territory(house: House) -> None:
    one, _ = await house.technician()
    north = await house.run("createTerritory", name="North")
    south = await house.run("createTerritory", name="South")
    await house.run("createTerritoryMembership", technicianId=one.id, territoryId=north.id)
    refused: list[dict[str, Any]] = [
        {"territoryId": south.id},
        {"territoryId": north.id, "kind": "SECONDARY"},
    ]
    for given in refused:
        with pytest.raises(Refused):
            await house.run("createTerritoryMembership", technicianId=one.id, **given)
    second = await house.run(
        "createTerritoryMembership", technicianId=one.id, territoryId=south.id, kind="SECONDARY"
    )
    with pytest.raises(Conflict, match="primary"):
        await house.run("updateTerritoryMembership", territoryMembershipId=second.id, kind="PRIMARY")


async def test_a_window_spans_two_weeks_back_to_four_ahead_and_moves_daily(house: House) -> None:
    one, _ = await house.technician()
    own = await profile(house, one)
    assert own.window_from <= now() - timedelta(days=14) < own.window_from + timedelta(days=1)
    assert own.window_to - timedelta(days=1) <= now() + timedelta(days=28) <= own.window_to
    past = datetime(2026, 1, 1, tzinfo=UTC)
    await house.run("moveWindow", technicianId=one.id, windowFrom=past, windowTo=past + timedelta(days=60))
    assert await move_windows(house.kernel, house.organisation_id) == 1
    assert await move_windows(house.kernel, house.organisation_id) == 0
    moved = await profile(house, one)
    async with house.reading() as session:
        by = await session.scalars(
            select(Change.actor_id)
            .where(Change.organisation_id == house.organisation_id)
            .order_by(Change.seq.desc())
        )
        assert by.first() == house.organisation_id
    assert moved.window_from > now() - timedelta(days=16)
    assert moved.window_to - moved.window_from == timedelta(days=60)


async def test_a_moved_window_reaches_only_its_technicians_device(house: House) -> None:
    one, actor = await house.technician()
    _, colleague = await house.technician("Demo Two")
    own, other = TestDevice(house, actor=actor), TestDevice(house, actor=colleague)
    for device in (own, other):
        await device.pull()
    before = dict(other.rows)
    past = datetime(2026, 1, 1, tzinfo=UTC)
    moved = await house.run("moveWindow", technicianId=one.id, windowFrom=past)
    changed = [change.id for change in (await own.feed.pull(actor, own.cursor, 500)).changes]
    assert changed == [moved.id]
    assert not (await other.feed.pull(colleague, other.cursor, 500)).changes
    await other.pull()
    assert other.rows == before


async def test_only_the_office_moves_a_window_and_it_must_end_after_it_begins(house: House) -> None:
    one, actor = await house.technician()
    with pytest.raises(Invalid, match="window"):
        await house.run("moveWindow", technicianId=one.id, windowFrom=now(), windowTo="2020-01-01T00:00:00Z")
    with pytest.raises(Forbidden):
        await house.run("moveWindow", actor, technicianId=one.id, windowFrom=now())
    inactive, _ = await house.technician("Demo Two", status="INACTIVE")
    await house.run("moveWindow", technicianId=inactive.id, windowFrom="2026-01-01T00:00:00Z")
    assert await move_windows(house.kernel, house.organisation_id) == 0
