"""Checklists in GraphQL."""

from __future__ import annotations

from tournee.api.nodes import ComputedField, Extras, Link, ListName
from tournee.api.transitions import TRANSITIONS, Ways, by_guard, by_row
from tournee.api.values import value_type
from tournee.auth.models import Account
from tournee.procedures.commands import (
    answer_checklist_item,
    archive_checklist_template,
    complete_checklist_run,
    dismiss_checklist_run,
    publish_checklist_version,
    reopen_checklist_run,
    restore_checklist_template,
    start_checklist_run,
)
from tournee.procedures.definition import ChecklistItemInput, read
from tournee.procedures.models import (
    ChecklistAnswer,
    ChecklistRun,
    ChecklistTemplate,
    ChecklistVersion,
    RunStatus,
    TemplateStatus,
    VersionStatus,
)
from tournee.procedures.permissions import PROCEDURES_READ
from tournee.procedures.queries import run_transitions, version_transitions

_OF_VERSIONS: Ways = {VersionStatus.PUBLISHED: (publish_checklist_version,)}
_OF_TEMPLATES: Ways = {
    TemplateStatus.ACTIVE: (restore_checklist_template,),
    TemplateStatus.ARCHIVED: (archive_checklist_template,),
}
_WAYS: Ways = {
    (RunStatus.NEW, RunStatus.IN_PROGRESS): (start_checklist_run, answer_checklist_item),
    RunStatus.IN_PROGRESS: (reopen_checklist_run,),
    RunStatus.COMPLETED: (complete_checklist_run,),
    RunStatus.NOT_APPLICABLE: (dismiss_checklist_run,),
}


def items(root: ChecklistVersion) -> list[ChecklistItemInput]:
    """What it asks, in order."""
    return read(root.items)


EXTRAS = Extras(
    lists=(
        ListName(ChecklistVersion, "template_id", "versions"),
        ListName(ChecklistRun, "template_id", "runs"),
        ListName(ChecklistRun, "version_id", "runs"),
        ListName(ChecklistAnswer, "run_id", "answers"),
        ListName(ChecklistAnswer, "site_id", None),
        ListName(ChecklistAnswer, "technician_id", None),
        ListName(ChecklistAnswer, "appointment_id", None),
        ListName(ChecklistAnswer, "work_order_id", None),
    ),
    links=(
        Link(ChecklistTemplate, "current_version_id", ChecklistVersion, "publishedVersion"),
        Link(ChecklistRun, "author_id", Account),
        Link(ChecklistRun, "completed_by_id", Account),
    ),
    computed=(
        ComputedField(
            ChecklistVersion,
            items,
            list[value_type(ChecklistItemInput, PROCEDURES_READ)],  # type: ignore[misc]
            needs=("items",),
        ),
        ComputedField(ChecklistRun, by_guard(_WAYS, run_transitions), TRANSITIONS),
        ComputedField(ChecklistTemplate, by_row(_OF_TEMPLATES), TRANSITIONS, needs=("status",)),
        ComputedField(ChecklistVersion, by_guard(_OF_VERSIONS, version_transitions), TRANSITIONS),
    ),
)
