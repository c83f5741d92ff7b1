"""More technicians, their skills, weeks and vans."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from tournee.demo.making import SMALL_TECHNICIANS, TECHNICIANS, Operation, at, id_of, picked

_NUMBERS = ("Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve")
_SKILLS = ("electrical", "cooling", "gas", "controls", "heights")
# Working days, counted from Monday: of this week and the next.
_DAYS = tuple(range(5)) + tuple(range(7, 12))


def operations(today: date) -> Iterator[Operation]:
    """Nine technicians without an account, working days for two weeks, a van each."""
    for number in TECHNICIANS[SMALL_TECHNICIANS:]:
        yield from _technician(number)
        yield from _skills(number, today)
        yield from _week(number, today)
    for number in TECHNICIANS[2:]:
        yield from _van(number)


def _technician(number: int) -> Iterator[Operation]:
    id = id_of(f"technician/{number}")
    yield "MANAGER", "createTechnician", {
        "id": id, "profileId": id_of(f"technician-profile/{number}"),
        "name": f"Demo Technician {_NUMBERS[number - SMALL_TECHNICIANS - 1]}",
        "employeeNumber": f"D-{number:03}",
        "kind": "CONTRACTOR" if number % 5 == 0 else "EMPLOYEE", "email": f"technician{number}@demo.example",
        "timeZone": "Europe/Paris", "homeLatitude": 47.1 + number / 50, "homeLongitude": -1.6 + number / 60,
        "efficiency": picked((0.8, 0.9, 1.0, 1.1), number),
    }  # fmt: skip
    territory = id_of(f"territory/{'north' if number % 2 else 'south'}")
    membership = {"id": id_of(f"territory-membership/{number}"), "technicianId": id, "territoryId": territory}
    yield "MANAGER", "createTerritoryMembership", membership


def _skills(number: int, today: date) -> Iterator[Operation]:
    for skill in ("water", _SKILLS[number % len(_SKILLS)]):
        held = {
            "id": id_of(f"technician-skill/{number}/{skill}"), "technicianId": id_of(f"technician/{number}"),
            "skillId": id_of(f"skill/{skill}"), "level": picked((2, 3, 4, 5), number, len(skill)),
        }  # fmt: skip
        if skill != "water":
            until = today + timedelta(days=picked((25, 120, 300), number))
            held |= {"validTo": until.isoformat(), "evidence": f"Demo certificate {skill}"}
        yield "MANAGER", "createTechnicianSkill", held


def _week(number: int, today: date) -> Iterator[Operation]:
    monday = today - timedelta(days=today.weekday())
    for day in _DAYS:
        begin = picked((6, 7, 8), number) * 60
        yield "DISPATCHER", "createShift", {
            "id": id_of(f"shift/{number}/{day}"), "technicianId": id_of(f"technician/{number}"),
            "startsAt": at(monday + timedelta(day), begin),
            "endsAt": at(monday + timedelta(day), begin + 540),
        }  # fmt: skip


def _van(number: int) -> Iterator[Operation]:
    yield "DISPATCHER", "createAsset", {
        "id": id_of(f"vehicle/{number}"), "name": f"Demo van {number}", "kind": "VEHICLE",
        "registration": f"DEMO-{number}", "ownership": "COMPANY",
        "holderTechnicianId": id_of(f"technician/{number}"),
    }  # fmt: skip
