"""Standards and audits of the demo organisation, and the checklists of its visits."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from tournee.kernel.demo import demo_id
from tournee.procedures import demo as checklists

Operation = tuple[str, str, dict[str, Any]]


def operations(today: date) -> list[Operation]:
    """Return the commands for standards, audits and checklist runs at visits. These runs are made here,
    since `procedures/demo.py` runs before there are visits.
    """
    return [
        *checklists.visits(today),
        *_standard(),
        *_finished(today),
        *_running(today),
        _planned(today),
        *(_past(number, today) for number in range(1, 7)),
    ]


def _id(name: str) -> str:
    return str(demo_id(name))


def _at(day: date, hour: int) -> str:
    return f"{day.isoformat()}T{hour:02}:00:00Z"


def _standard() -> list[Operation]:
    standard = _id("standard/service")
    made: list[Operation] = [
        (
            "AUDITOR",
            "createQualityStandard",
            {"id": standard, "code": "DEMO-S 1", "title": "Demo service standard", "revision": "1"},
        )
    ]
    for number, title in _CLAUSES:
        parent, _, own = number.rpartition(".")
        clause = {"id": _id(f"clause/{number}"), "standardId": standard, "number": number, "title": title}
        if own and parent:
            clause["parentId"] = _id(f"clause/{parent}")
        made.append(("AUDITOR", "createStandardClause", clause))
    return made


_CLAUSES = [
    ("1", "Before the visit"),
    ("1.1", "The customer knows when we come"),
    ("2", "At the customer's"),
    ("2.1", "Safety of people and goods"),
    ("2.2", "Order and cleanliness"),
    ("3", "Records"),
    ("3.1", "Measurements are written down at once"),
    ("3.2", "Equipment is calibrated"),
]


def _draft(number: int, site: int, **more: Any) -> Operation:
    audit = {
        "id": _id(f"audit/{number}"),
        "title": f"Demo audit {number}",
        "standardId": _id("standard/service"),
        "versionId": _id("version/hygiene/1"),
        "siteId": _id(f"site/{site}"),
        "leadAuditorId": _id("account/auditor"),
        "auditeeResponsibleId": _id("account/manager"),
        "scope": "One visit and the records of the last month.",
    }
    return "AUDITOR", "createAudit", audit | more


def _begun(number: int, site: int, day: date, labels: str) -> list[Operation]:
    audit = {"auditId": _id(f"audit/{number}")}
    observer = {"accountId": _id("account/dispatcher"), "part": "OBSERVER"}
    answers: list[dict[str, Any]] = [
        {"itemKey": "records", "checked": True},
        {"itemKey": "storage", "number": 5.5},
        {"itemKey": "labels", "choices": [labels]},
    ]
    return [
        _draft(number, site),
        ("AUDITOR", "planAudit", audit | {"plannedFrom": _at(day, 8), "plannedTo": _at(day, 12)}),
        ("AUDITOR", "setAuditTeam", audit | {"members": [observer]}),
        ("AUDITOR", "startAudit", audit | {"at": _at(day, 8)}),
        *(("AUDITOR", "answerAuditItem", audit | {"at": _at(day, 9)} | answer) for answer in answers),
    ]


def _finished(today: date) -> list[Operation]:
    day = today - timedelta(days=20)
    audit = {"auditId": _id("audit/1"), "at": _at(day, 11)}
    finding = {
        "id": _id("finding/1"),
        "grade": "MAJOR",
        "description": "Demo finding: goods without labels in the store.",
        "itemKey": "labels",
        "clauseId": _id("clause/2.2"),
        "correction": "Label the goods and train the staff.",
        "dueOn": (today + timedelta(days=10)).isoformat(),
    }
    excuse = {"itemKey": "training", "notApplicable": True, "reason": "No staff on site that day."}
    return [
        *_begun(1, 1, day, "None"),
        ("AUDITOR", "answerAuditItem", audit | excuse),
        ("AUDITOR", "addAuditFinding", audit | finding),
        ("AUDITOR", "reportAudit", audit | {"conclusion": "Demo conclusion."}),
        ("AUDITOR", "completeAudit", audit),
    ]


def _running(today: date) -> list[Operation]:
    finding = {"id": _id("finding/2"), "grade": "OBSERVATION", "description": "Demo observation."}
    return [
        *_begun(2, 2, today, "Most"),
        ("AUDITOR", "addAuditFinding", finding | {"auditId": _id("audit/2"), "at": _at(today, 10)}),
    ]


def _planned(today: date) -> Operation:
    return _draft(3, 3, technicianId=_id("technician/1"), plannedFrom=_at(today + timedelta(days=7), 8))


def _past(number: int, today: date) -> Operation:
    passed = number % 3 != 0
    audit = {
        "id": _id(f"audit/past/{number}"),
        "externalKey": f"demo-{number}",
        "title": f"Demo inspection {number} by an authority",
        "performedAt": _at(today - timedelta(days=90 * number), 10),
        "siteId": _id(f"site/{number}"),
        "result": "PASS" if passed else "FAIL",
        "disposition": "Demo: no action needed" if passed else "Demo: to be inspected again",
        "findings": [
            {"grade": "MINOR" if passed else "CRITICAL", "code": f"D{number}", "description": "Demo finding."}
        ],
    }
    return "AUDITOR", "recordPastAudit", audit
