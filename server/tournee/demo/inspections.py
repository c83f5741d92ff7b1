"""More audits: of the authorities, and of the demo's own auditor, with their findings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from tournee.demo.making import SITES, Operation, at, id_of, picked

_GRADES = ("MINOR", "MINOR", "MAJOR", "OBSERVATION")
_FOUND = ("Demo finding: emergency exit blocked.", "Demo finding: no entry in the log book.",
          "Demo finding: guard missing.", "Demo finding: label unreadable.")  # fmt: skip
_PAST, _OWN = 24, 6


def operations(today: date) -> Iterator[Operation]:
    """Audits of the past three months, and some of the last three weeks."""
    for number in range(1, _PAST + 1):
        yield _past(number, today)
    for number in range(1, _OWN + 1):
        yield from _own(number, today)


def _past(number: int, today: date) -> Operation:
    failed = number % 4 == 0
    findings = [_finding(number * 3 + one) for one in range(number % 3)]
    if failed:
        findings.append(
            {"grade": "CRITICAL", "description": "Demo finding: to be switched off.", "status": "OPEN"}
        )
    return "AUDITOR", "recordPastAudit", {
        "id": id_of(f"audit/r{number}"), "externalKey": f"demo-r{number}",
        "title": f"Demo inspection {number + 6}",
        "performedAt": at(today - timedelta(days=3 + 4 * number), 600),
        "siteId": id_of(f"site/{8 + number * 5}"),
        "result": "FAIL" if failed else "PASS", "findings": findings,
        "disposition": "Demo: to be inspected again" if failed else "Demo: no action needed",
    }  # fmt: skip


def _finding(number: int) -> dict[str, Any]:
    return {"grade": picked(_GRADES, number), "code": f"D{number}", "description": picked(_FOUND, number)}


def _own(number: int, today: date) -> Iterator[Operation]:
    day, audit = today - timedelta(days=3 * number), {"auditId": id_of(f"audit/o{number}")}
    yield "AUDITOR", "createAudit", {
        "id": audit["auditId"], "title": f"Demo audit of site {number * 9}",
        "standardId": id_of("standard/service"),
        "versionId": id_of("version/hygiene/1"), "siteId": id_of(f"site/{number * 9 % SITES[-1]}"),
        "leadAuditorId": id_of("account/auditor"), "auditeeResponsibleId": id_of("account/manager"),
        "scope": "One visit and the records of the last month.",
    }  # fmt: skip
    yield "AUDITOR", "planAudit", {**audit, "plannedFrom": at(day, 480), "plannedTo": at(day, 720)}
    yield "AUDITOR", "startAudit", {**audit, "at": at(day, 480)}
    for answer in (
        {"itemKey": "records", "checked": number % 3 != 0},
        {"itemKey": "storage", "number": picked((4.5, 6.0, 8.5), number)},
        {"itemKey": "labels", "choices": [picked(("All", "Most", "None"), number)]},
        {"itemKey": "training", "checked": True},
    ):
        yield "AUDITOR", "answerAuditItem", {**audit, "at": at(day, 540), **answer}
    yield "AUDITOR", "addAuditFinding", {
        **audit, "id": id_of(f"finding/o{number}"), "at": at(day, 600), "grade": picked(_GRADES, number),
        "description": picked(_FOUND, number), "correction": "Demo: put it right and tell us.",
        "clauseId": id_of(f"clause/{picked(('2.1', '2.2', '3.1'), number)}"),
        "dueOn": (today + timedelta(days=7 * number)).isoformat(),
    }  # fmt: skip
    yield "AUDITOR", "reportAudit", {**audit, "at": at(day, 660), "conclusion": "Demo conclusion."}
