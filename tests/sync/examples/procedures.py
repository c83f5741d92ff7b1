"""Checklists and their answers."""

from tests.sync.examples.example import Example, Step, at, of

_RUN = {"runId": of("run/visit/1")}
_ANSWERED: list[Step] = [
    (
        "TECHNICIAN",
        "answerChecklistItem",
        {**_RUN, "itemKey": "powered", "checked": True, "at": at(minutes=-9)},
    ),
    (
        "TECHNICIAN",
        "answerChecklistItem",
        {**_RUN, "itemKey": "pressure", "number": 4.0, "at": at(minutes=-8)},
    ),
]
_COMPLETED: Step = ("TECHNICIAN", "completeChecklistRun", {**_RUN, "at": at(minutes=-7)})
_TEMPLATE = {"templateId": of("template/inspection")}
_DRAFT = {"versionId": of("version/vehicle/2")}

EXAMPLES = {
    "addChecklistRun": Example(
        "TECHNICIAN",
        {"id": of("run/new"), "versionId": of("version/inspection/1"), "appointmentId": of("appointment/2")},
    ),
    "startChecklistRun": Example("TECHNICIAN", {**_RUN, "at": at(minutes=-10)}),
    "answerChecklistItem": Example(
        "TECHNICIAN", {**_RUN, "itemKey": "pressure", "number": 9.0, "at": at(minutes=-5)}, before=_ANSWERED
    ),
    "completeChecklistRun": Example("TECHNICIAN", {**_RUN, "at": at(minutes=-7)}, before=_ANSWERED),
    "dismissChecklistRun": Example("TECHNICIAN", {**_RUN, "reason": "Demo: no such unit here."}),
    "reopenChecklistRun": Example(
        "DISPATCHER", {**_RUN, "reason": "Demo: wrong gauge."}, before=[*_ANSWERED, _COMPLETED], reaches=True
    ),
    "createChecklistTemplate": Example("AUDITOR", {"key": "demo-new", "title": "Demo: new"}, reaches=True),
    "updateChecklistTemplate": Example(
        "AUDITOR", {"checklistTemplateId": of("template/vehicle"), "title": "Demo: vans"}, reaches=True
    ),
    "archiveChecklistTemplate": Example("AUDITOR", _TEMPLATE, reaches=True),
    "restoreChecklistTemplate": Example(
        "AUDITOR", _TEMPLATE, before=[("AUDITOR", "archiveChecklistTemplate", _TEMPLATE)], reaches=True
    ),
    "draftChecklistVersion": Example("AUDITOR", {**_TEMPLATE, "id": of("version/inspection/2")}),
    "updateChecklistDraft": Example(
        "AUDITOR", {**_DRAFT, "items": [{"key": "tyres", "prompt": "Are the tyres good?", "kind": "CHECK"}]}
    ),
    # Only the office has drafts; everybody has a published version.
    "publishChecklistVersion": Example("AUDITOR", _DRAFT, reaches=True),
}
