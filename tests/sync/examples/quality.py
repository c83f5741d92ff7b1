"""Audits, findings, standards; and conflicts, which the office decides."""

from tests.sync.examples.example import Example, Payload, Rows, Step, at, day, of

_BY = "AUDITOR"
_DONE = {"auditId": of("audit/1")}
_RUNNING = {"auditId": of("audit/2")}
_DRAFT = {"auditId": of("audit/3")}
_STANDARD = of("standard/service")

_ANSWERED: Step = (
    _BY,
    "answerAuditItem",
    {**_RUNNING, "itemKey": "training", "checked": True, "at": at(minutes=-40)},
)
_REPORTED: list[Step] = [_ANSWERED, (_BY, "reportAudit", {**_RUNNING, "at": at(minutes=-30)})]
_PLANNED: list[Step] = [(_BY, "planAudit", _DRAFT)]
_FINDING = {"findingId": of("finding/1")}
_CORRECTED: list[Step] = [(_BY, "correctAuditFinding", {**_FINDING, "at": at(minutes=-30)})]
_VERIFIED: list[Step] = [*_CORRECTED, (_BY, "verifyAuditFinding", _FINDING)]
_CLOSED: list[Step] = [*_VERIFIED, (_BY, "closeAuditFinding", {**_FINDING, "at": at(minutes=-20)})]


def _the_conflict(rows: Rows) -> Payload:
    (id,) = (id for id, row in rows.items() if "recordId" in row)
    return {"conflictId": str(id), "note": "Demo: paid anyway."}


EXAMPLES = {
    "createQualityStandard": Example(
        _BY, {"id": of("standard/new"), "code": "DEMO-S 2", "title": "Demo"}, reaches=True
    ),
    "updateQualityStandard": Example(
        _BY, {"qualityStandardId": _STANDARD, "title": "Demo: renamed"}, reaches=True
    ),
    "withdrawQualityStandard": Example(_BY, {"standardId": _STANDARD}, reaches=True),
    "createStandardClause": Example(
        _BY,
        {
            "id": of("clause/new"),
            "standardId": _STANDARD,
            "number": "3.3",
            "title": "Demo",
            "parentId": of("clause/3"),
        },
        reaches=True,
    ),
    "updateStandardClause": Example(
        _BY, {"standardClauseId": of("clause/3.2"), "text": "Demo text."}, reaches=True
    ),
    "createAudit": Example(_BY, {"id": of("audit/new"), "title": "Demo audit", "siteId": of("site/1")}),
    "updateAudit": Example(_BY, {**_DRAFT, "title": "Demo: renamed", "technicianId": of("technician/2")}),
    "planAudit": Example(_BY, {**_DRAFT, "plannedTo": at(days=9)}),
    "setAuditTeam": Example(
        _BY,
        {**_DRAFT, "members": [{"accountId": of("account/technician"), "part": "EXPERT"}]},
        before=[(_BY, "setAuditTeam", {**_DRAFT, "members": [{"accountId": of("account/dispatcher")}]})],
    ),
    "postponeAudit": Example(_BY, {**_DRAFT, "reason": "Demo: rain."}, before=_PLANNED),
    "cancelAudit": Example(_BY, {**_DRAFT, "reason": "Demo: not needed."}),
    "startAudit": Example(_BY, {**_DRAFT, "at": at(minutes=-60)}, before=_PLANNED),
    "answerAuditItem": Example(
        _BY, {**_RUNNING, "itemKey": "labels", "choices": ["None"], "at": at(minutes=-50)}
    ),
    "addAuditFinding": Example(
        _BY,
        {
            **_RUNNING,
            "id": of("finding/new"),
            "grade": "MINOR",
            "description": "Demo finding.",
            "clauseId": of("clause/2.1"),
            "at": at(minutes=-50),
        },
    ),
    "reportAudit": Example(
        _BY, {**_RUNNING, "conclusion": "Demo conclusion.", "at": at(minutes=-30)}, before=[_ANSWERED]
    ),
    "completeAudit": Example(_BY, {**_RUNNING, "at": at(minutes=-20)}, before=_REPORTED),
    "closeAudit": Example(_BY, {**_DONE, "at": at(minutes=-10)}, before=_CLOSED),
    "recordPastAudit": Example(
        _BY,
        {
            "id": of("audit/past/new"),
            "externalKey": "demo-new",
            "title": "Demo inspection by an authority",
            "performedAt": at(days=-400),
            "siteId": of("site/1"),
            "result": "FAIL",
            "findings": [{"grade": "MINOR", "description": "Demo finding.", "status": "OPEN"}],
        },
    ),
    "updateAuditFinding": Example(_BY, {"auditFindingId": of("finding/1"), "dueOn": day(20)}),
    "correctAuditFinding": Example(_BY, {**_FINDING, "correction": "Demo: labelled.", "at": at(minutes=-30)}),
    "verifyAuditFinding": Example(_BY, _FINDING, before=_CORRECTED),
    "reopenAuditFinding": Example(_BY, _FINDING, before=_CORRECTED),
    "closeAuditFinding": Example(_BY, {**_FINDING, "at": at(minutes=-20)}, before=_VERIFIED),
    # The technician left for a visit that had been canceled.
    "resolveConflict": Example(
        "DISPATCHER",
        _the_conflict,
        before=[
            ("DISPATCHER", "cancelAppointment", {"appointmentId": of("appointment/1"), "reason": "Demo."})
        ],
        late=[("TECHNICIAN", "startTravel", {"appointmentId": of("appointment/1"), "at": at(minutes=-60)})],
        reaches=True,
    ),
}
