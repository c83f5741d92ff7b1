"""Checklists in GraphQL."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from tournee.api.context import Info
from tournee.api.nodes import ComputedField, Extras, Link, ListName
from tournee.api.transitions import TRANSITIONS, Ways, by_row, for_actor
from tournee.auth.models import Account
from tournee.kernel.state import Transition
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
from tournee.procedures.definition import ChecklistItemInput, read, unanswered
from tournee.procedures.models import (
    RUN,
    VERSION,
    ChecklistAnswer,
    ChecklistRun,
    ChecklistTemplate,
    ChecklistVersion,
    RunStatus,
    TemplateStatus,
    VersionStatus,
)
from tournee.procedures.queries import missing_sentences


async def items_of(info: Info, version_id: UUID | None) -> list[ChecklistItemInput]:
    """What a version asks; nothing without one."""
    if version_id is None:
        return []
    organisation = info.context.actor.organisation_id
    found = await info.context.load.related(
        "items of a version",
        version_id,
        lambda ids: select(ChecklistVersion.id, ChecklistVersion.items).where(
            ChecklistVersion.organisation_id == organisation, ChecklistVersion.id.in_(ids)
        ),
    )
    return read(found[0]) if found else []


async def _answers(info: Info, run_id: UUID) -> dict[str, ChecklistAnswer]:
    organisation = info.context.actor.organisation_id
    found = await info.context.load.related(
        "answers of a run",
        run_id,
        lambda ids: select(ChecklistAnswer.run_id, ChecklistAnswer).where(
            ChecklistAnswer.organisation_id == organisation,
            ChecklistAnswer.run_id.in_(ids),
            ChecklistAnswer.deleted.is_(False),
        ),
    )
    return {answer.item_key: answer for answer in found}


async def available_transitions(root: ChecklistRun, info: Info) -> list[Transition]:
    """What may become of it now, by whoever asks."""
    missing = unanswered(await items_of(info, root.version_id), await _answers(info, root.id))
    following = RUN.transitions(root.status, {RunStatus.COMPLETED: missing_sentences(missing)})
    return for_actor(info.context.actor, root.status, following, _WAYS)


async def version_transitions(root: ChecklistVersion, info: Info) -> list[Transition]:
    """What may become of it now, by whoever asks."""
    template = await info.context.load.one(ChecklistTemplate, root.template_id)
    guards = {VersionStatus.PUBLISHED: root.against_publishing(template)}
    return for_actor(info.context.actor, root.status, VERSION.transitions(root.status, guards), _OF_VERSIONS)


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
        ComputedField(ChecklistRun, available_transitions, TRANSITIONS),
        ComputedField(ChecklistTemplate, by_row(_OF_TEMPLATES), TRANSITIONS, needs=("status",)),
        ComputedField(ChecklistVersion, version_transitions, TRANSITIONS, name="availableTransitions"),
    ),
)
