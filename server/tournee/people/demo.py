"""Made-up technicians with their skills and hours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from tournee.kernel.demo import demo_id

Operation = tuple[str, str, dict[str, Any]]

_TERRITORIES = (("all", "Demo Country", None), ("north", "Demo North", "all"), ("south", "Demo South", "all"))
_SKILLS = (
    ("electrical", "Electrical installations", True),
    ("cooling", "Cooling circuits", True),
    ("gas", "Gas appliances", True),
    ("water", "Water and heating", False),
    ("controls", "Building controls", False),
    ("heights", "Work at heights", True),
)
_TECHNICIANS: tuple[tuple[str, str | None, str, str], ...] = (
    ("Demo Technician One", "account/technician", "north", "EMPLOYEE"),
    ("Demo Technician Two", "account/technician2", "south", "EMPLOYEE"),
    ("Demo Technician Three", None, "north", "CONTRACTOR"),
)
# Technician, skill, level, days until the certificate ends.
_HELD = (
    (1, "electrical", 4, 400),
    (1, "cooling", 3, 90),
    (1, "water", 5, None),
    (2, "electrical", 3, 30),
    (2, "gas", 4, 200),
    (2, "controls", 3, None),
    (3, "heights", 5, 300),
    (3, "gas", 3, -20),
)


def operations(today: date) -> list[Operation]:
    """Territories, skills, three technicians, their weeks and absences."""
    return [
        *_catalogue(),
        *(operation for number in (1, 2, 3) for operation in _technician(number)),
        *_held_skills(today),
        *_shifts(today),
        *_absences(today),
    ]


def _catalogue() -> Iterator[Operation]:
    for code, name, parent in _TERRITORIES:
        given = {"id": _id(f"territory/{code}"), "code": code, "name": name}
        if parent is not None:
            given["parentId"] = _id(f"territory/{parent}")
        yield "MANAGER", "createTerritory", given
    for code, name, expires in _SKILLS:
        yield "MANAGER", "createSkill", {"id": _id(f"skill/{code}"), "name": name, "expires": expires}


def _technician(number: int) -> Iterator[Operation]:
    name, account, territory, kind = _TECHNICIANS[number - 1]
    technician: dict[str, Any] = {
        "id": _id(f"technician/{number}"),
        "profileId": _id(f"technician-profile/{number}"),
        "name": name,
        "accountId": None if account is None else _id(account),
        "employeeNumber": f"D-{number:03}",
        "kind": kind,
        "email": f"technician{number}@demo.example",
        "timeZone": "Europe/Paris",
        "homeLatitude": 48.8 + number / 10,
        "homeLongitude": 2.3,
        "efficiency": (1.0, 0.9, 1.2)[number - 1],
    }
    yield "MANAGER", "createTechnician", technician
    membership = {
        "id": _id(f"territory-membership/{number}"),
        "technicianId": technician["id"],
        "territoryId": _id(f"territory/{territory}"),
    }
    yield "MANAGER", "createTerritoryMembership", membership


def _held_skills(today: date) -> Iterator[Operation]:
    for technician, skill, level, days in _HELD:
        given: dict[str, Any] = {
            "id": _id(f"technician-skill/{technician}/{skill}"),
            "technicianId": _id(f"technician/{technician}"),
            "skillId": _id(f"skill/{skill}"),
            "level": level,
        }
        if days is not None:
            given |= {
                "validTo": (today + timedelta(days)).isoformat(),
                "evidence": f"Demo certificate {skill}",
            }
        yield "MANAGER", "createTechnicianSkill", given


def _shifts(today: date) -> Iterator[Operation]:
    """The working days of this week and the next, from seven to four."""
    monday = today - timedelta(days=today.weekday())
    for technician in (1, 2, 3):
        for day in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11):
            shift = {
                "id": _id(f"shift/{technician}/{day}"),
                "technicianId": _id(f"technician/{technician}"),
                "startsAt": _at(monday + timedelta(day), 7),
                "endsAt": _at(monday + timedelta(day), 16),
            }
            yield "DISPATCHER", "createShift", shift


def _absences(today: date) -> Iterator[Operation]:
    vacation = {
        "id": _id("absence/1"),
        "technicianId": _id("technician/1"),
        "startsAt": _at(today + timedelta(days=20), 0),
        "endsAt": _at(today + timedelta(days=27), 0),
        "reason": "Demo holiday",
    }
    training = {
        "id": _id("absence/2"),
        "technicianId": _id("technician/2"),
        "startsAt": _at(today + timedelta(days=6), 7),
        "endsAt": _at(today + timedelta(days=6), 12),
        "kind": "TRAINING",
    }
    yield "TECHNICIAN", "requestAbsence", vacation
    yield "DISPATCHER", "requestAbsence", training
    yield "MANAGER", "approveAbsence", {"absenceId": training["id"]}


def _at(day: date, hour: int) -> str:
    return datetime.combine(day, time(hour), UTC).isoformat()


def _id(name: str) -> str:
    return str(demo_id(name))
