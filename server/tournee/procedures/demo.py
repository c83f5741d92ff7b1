"""Checklists of the demo organisation."""

from __future__ import annotations

from datetime import date
from typing import Any

from tournee.kernel.demo import demo_id

Operation = tuple[str, str, dict[str, Any]]


def operations(today: date) -> list[Operation]:
    """Templates with published versions, and runs at sites; those at visits come once there are visits."""
    made: list[Operation] = []
    for key, title, items in _TEMPLATES:
        made += _published(key, title, items)
    made.append(
        ("MANAGER", "draftChecklistVersion", _id("version/vehicle/2") | {"templateId": _of("vehicle")})
    )
    for number in (1, 2, 3):
        made += _run_at_site(number, today)
    return made


def visits(today: date) -> list[Operation]:
    """The required inspection of each of the first visits."""
    return [
        (
            "DISPATCHER",
            "addChecklistRun",
            _id(f"run/visit/{number}")
            | {
                "templateId": _of("inspection"),
                "appointmentId": str(demo_id(f"appointment/{number}")),
                "required": True,
            },
        )
        for number in (1, 2, 3, 4)
    ]


def _id(name: str) -> dict[str, Any]:
    return {"id": str(demo_id(name))}


def _of(key: str) -> str:
    return str(demo_id(f"template/{key}"))


def _published(key: str, title: str, items: list[dict[str, Any]]) -> list[Operation]:
    version = str(demo_id(f"version/{key}/1"))
    return [
        ("MANAGER", "createChecklistTemplate", _id(f"template/{key}") | {"key": key, "title": title}),
        ("MANAGER", "draftChecklistVersion", {"id": version, "templateId": _of(key), "items": items}),
        ("MANAGER", "publishChecklistVersion", {"versionId": version}),
    ]


def _run_at_site(number: int, today: date) -> list[Operation]:
    run = str(demo_id(f"run/site/{number}"))
    at = f"{today.isoformat()}T0{5 + number}:30:00Z"
    answers: list[dict[str, Any]] = [
        {"itemKey": "powered", "checked": True},
        {"itemKey": "pressure", "number": 3.5 + number},
        {"itemKey": "remarks", "text": f"Demo remark {number}."},
    ]
    place = {"siteId": str(demo_id(f"site/{number}")), "assetId": str(demo_id(f"asset/{number}"))}
    made: list[Operation] = [
        ("MANAGER", "addChecklistRun", {"id": run, "versionId": str(demo_id("version/inspection/1"))} | place)
    ]
    made += [("MANAGER", "answerChecklistItem", {"runId": run, "at": at} | answer) for answer in answers]
    if number < 3:
        made.append(("MANAGER", "completeChecklistRun", {"runId": run, "at": at}))
    return made


_INSPECTION: list[dict[str, Any]] = [
    {"key": "powered", "prompt": "Is the unit switched on?", "kind": "CHECK", "required": True, "weight": 2},
    {
        "key": "pressure",
        "section": "Measurements",
        "prompt": "Working pressure",
        "help": "Read at the main gauge after five minutes.",
        "kind": "NUMBER",
        "unit": "bar",
        "minimum": 2.0,
        "maximum": 6.0,
        "required": True,
        "critical": True,
        "condition": {"itemKey": "powered", "equals": "true"},
    },
    {
        "key": "reason-off",
        "prompt": "Why is it off?",
        "kind": "CHOICE",
        "choices": ["Out of season", "Defective", "No power on site"],
        "required": True,
        "condition": {"itemKey": "powered", "equals": "false"},
    },
    {
        "key": "cleanliness",
        "prompt": "How clean is it?",
        "kind": "CHOICE",
        "choices": ["Clean", "Dusty", "Dirty"],
        "choicePoints": [2, 1, 0],
        "allowsNotApplicable": True,
    },
    {"key": "photo", "prompt": "Photo of the name plate", "kind": "PHOTO"},
    {"key": "remarks", "prompt": "Remarks", "kind": "TEXT"},
    {"key": "signature", "prompt": "Signature of the customer", "kind": "SIGNATURE"},
]

_VEHICLE: list[dict[str, Any]] = [
    {"key": "lights", "prompt": "Do all lights work?", "kind": "CHECK", "required": True, "critical": True},
    {"key": "first-aid", "prompt": "Is the first-aid kit complete?", "kind": "CHECK", "required": True},
    {"key": "odometer", "prompt": "Odometer", "kind": "NUMBER", "unit": "km", "minimum": 0.0},
]

_HYGIENE: list[dict[str, Any]] = [
    {"key": "records", "prompt": "Are the records kept?", "kind": "CHECK", "allowsNotApplicable": True},
    {
        "key": "storage",
        "prompt": "Storage temperature",
        "kind": "NUMBER",
        "unit": "°C",
        "maximum": 7.0,
        "weight": 3,
        "critical": True,
    },
    {
        "key": "labels",
        "prompt": "Are goods labelled?",
        "kind": "CHOICE",
        "choices": ["All", "Most", "None"],
        "choicePoints": [2, 1, 0],
        "weight": 2,
    },
    {"key": "training", "prompt": "Is the staff trained?", "kind": "CHECK", "allowsNotApplicable": True},
]

_TEMPLATES = [
    ("inspection", "Demo: Inspection of a unit", _INSPECTION),
    ("vehicle", "Demo: Vehicle check", _VEHICLE),
    ("hygiene", "Demo: Hygiene audit", _HYGIENE),
]
