"""Commands for checklists in the field: add, answer, complete."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.conflict import RECORD_ON_CLOSED_PARENT
from tournee.kernel.errors import Blocked, Invalid, TransitionNotAllowed
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.registry import BY_TABLE, Plain
from tournee.kernel.transaction import Transaction
from tournee.procedures.answers import answers_of, item_of, record_answer
from tournee.procedures.definition import Given, unanswered
from tournee.procedures.models import (
    ChecklistAnswer,
    ChecklistRun,
    ChecklistTemplate,
    ChecklistVersion,
    RunStatus,
    VersionStatus,
)
from tournee.procedures.queries import against_completion, glance, items_of
from tournee.work.permissions import WORK_PLAN, WORK_WRITE


@dataclass(frozen=True)
class AddChecklistRun:
    template_id: UUID | Unset = UNSET
    """The checklist; its current version is used. Give this or `versionId`."""
    version_id: UUID | Unset = UNSET
    """A published version; give this or `templateId`."""
    appointment_id: UUID | None = None
    work_order_id: UUID | None = None
    site_id: UUID | None = None
    asset_id: UUID | None = None
    required: bool = False
    id: UUID | Unset = UNSET


@command(WORK_WRITE, offline=True, fact=True, plain=Plain.CREATE)
async def add_checklist_run(tx: Transaction, actor: Actor, do: AddChecklistRun) -> ChecklistRun:
    """Add a checklist to a visit, an order, a site or an asset; a template means its current version."""
    place = await _place(tx, do)
    version = await _version(tx, do)
    run = ChecklistRun(template_id=version.template_id, version_id=version.id, author_id=actor.id, **place)
    run.required = do.required
    if do.id is not UNSET:
        run.id = do.id
    return await tx.add(run)


async def _place(tx: Transaction, do: AddChecklistRun) -> dict[str, UUID | None]:
    """Return the records that the run belongs to; the order or site of a visit or an asset is included."""
    appointment = await tx.find_optional(BY_TABLE["appointment"], do.appointment_id, "appointmentId")
    order = await tx.find_optional(BY_TABLE["work_order"], do.work_order_id, "workOrderId")
    await tx.find_optional(BY_TABLE["site"], do.site_id, "siteId")
    asset = await tx.find_optional(BY_TABLE["asset"], do.asset_id, "assetId")
    if appointment is None and order is None and do.site_id is None and asset is None:
        raise Invalid("Name a visit, an order, a site or an asset.", "appointmentId")
    sites = [getattr(place, "site_id", None) for place in (appointment, order, asset)]
    return {
        "appointment_id": do.appointment_id,
        "work_order_id": do.work_order_id or getattr(appointment, "work_order_id", None),
        "site_id": do.site_id or next((site for site in sites if site is not None), None),
        "asset_id": do.asset_id or getattr(appointment, "asset_id", None),
        "technician_id": getattr(asset, "holder_technician_id", None),
    }


async def _version(tx: Transaction, do: AddChecklistRun) -> ChecklistVersion:
    """Return the version to use: the one that the device names, whatever was published since."""
    template = None
    if do.template_id is not UNSET:
        template = await glance(tx, ChecklistTemplate, do.template_id, "templateId")
    version = await glance(tx, ChecklistVersion, _version_id(do, template), "versionId")
    if template is not None and version.template_id != template.id:
        raise Invalid("This version belongs to another checklist.", "versionId")
    if version.status is not VersionStatus.PUBLISHED:
        raise Blocked("This version is a draft.", "versionId")
    if tx.current.base is None:
        (template or await glance(tx, ChecklistTemplate, version.template_id, "versionId")).require_active()
    return version


def _version_id(do: AddChecklistRun, template: ChecklistTemplate | None) -> UUID:
    if do.version_id is not UNSET:
        return do.version_id
    if template is None:
        raise Invalid("Name a template or a version.", "templateId")
    if template.current_version_id is None:
        raise Blocked("This checklist has no published version yet.", "templateId")
    return template.current_version_id


@dataclass(frozen=True)
class StartChecklistRun:
    run_id: UUID
    """The run that is begun."""
    at: datetime
    """When, by the device's clock."""


@command(WORK_WRITE, offline=True, fact=True)
async def start_checklist_run(tx: Transaction, actor: Actor, do: StartChecklistRun) -> ChecklistRun:
    """Start a checklist; its first answer starts it too."""
    run = await tx.find(ChecklistRun, do.run_id, "runId")
    await _overtaken(tx, run)
    run.start(do.at)
    return run


@dataclass(frozen=True, kw_only=True)
class AnswerChecklistItem(Given):
    run_id: UUID
    """The run whose item is answered."""
    item_key: Annotated[str, Limits(length=60)]
    at: datetime
    """When, by the device's clock."""


@command(WORK_WRITE, offline=True, fact=True)
async def answer_checklist_item(tx: Transaction, actor: Actor, do: AnswerChecklistItem) -> ChecklistAnswer:
    """Answer an item, or change the answer; a number outside its limits is recorded and fails."""
    run = await tx.find(ChecklistRun, do.run_id, "runId")
    overtaken = await _overtaken(tx, run)
    items = await items_of(tx.session, run.version_id)
    item = item_of(items, do.item_key)
    answer = await record_answer(tx, ChecklistAnswer, run.id, item, do, do.at, _copied(run))
    run.start(do.at)
    if overtaken:
        run.derive(items, await answers_of(tx, ChecklistAnswer, ChecklistAnswer.run_id == run.id))
        await _dispute(tx, run, {"itemKey": do.item_key})
    return answer


@dataclass(frozen=True)
class CompleteChecklistRun:
    run_id: UUID
    """The run that is finished."""
    at: datetime
    """When, by the device's clock."""


@command(WORK_WRITE, offline=True, fact=True)
async def complete_checklist_run(tx: Transaction, actor: Actor, do: CompleteChecklistRun) -> ChecklistRun:
    """Complete a checklist; every required item that is shown must have an answer."""
    run = await tx.find(ChecklistRun, do.run_id, "runId")
    overtaken = await _overtaken(tx, run)
    if run.status is RunStatus.COMPLETED:
        tx.current.merged = True
        return run
    items = await items_of(tx.session, run.version_id)
    answers = await answers_of(tx, ChecklistAnswer, ChecklistAnswer.run_id == run.id)
    if missing := against_completion(unanswered(items, answers)):
        raise Blocked(" ".join(missing), "runId")
    if overtaken:
        await _dispute(tx, run, {"status": RunStatus.COMPLETED})
    run.complete(do.at, actor.id)
    run.derive(items, answers)
    return run


@dataclass(frozen=True)
class DismissChecklistRun:
    run_id: UUID
    """The run that does not apply."""
    reason: Annotated[str, Limits(length=1000)]
    """Why there is nothing to check."""


@command(WORK_WRITE, offline=True)
async def dismiss_checklist_run(tx: Transaction, actor: Actor, do: DismissChecklistRun) -> ChecklistRun:
    """Record that a checklist does not apply here, and why."""
    run = await tx.find(ChecklistRun, do.run_id, "runId")
    run.dismiss(_said(do.reason))
    return run


@dataclass(frozen=True)
class ReopenChecklistRun:
    run_id: UUID
    """The run that goes on."""
    reason: Annotated[str, Limits(length=1000)]
    """What has to be checked again."""


@command(WORK_PLAN)
async def reopen_checklist_run(tx: Transaction, actor: Actor, do: ReopenChecklistRun) -> ChecklistRun:
    """Reopen a completed checklist, so that answers can be corrected."""
    run = await tx.find(ChecklistRun, do.run_id, "runId")
    run.reopen(_said(do.reason))
    return run


def _copied(run: ChecklistRun) -> dict[str, Any]:
    """Return the fields that an answer repeats from its run, so that whoever sees the run sees the answer."""
    names = ("appointment_id", "work_order_id", "site_id", "technician_id", "author_id")
    return {"run_id": run.id, **{name: getattr(run, name) for name in names}}


async def _overtaken(tx: Transaction, run: ChecklistRun) -> bool:
    """Return whether others closed the run after the device last saw it. Raises if the device knew that
    it is closed.
    """
    if run.is_open:
        return False
    if "status" not in await tx.changed_since_base(run):
        raise TransitionNotAllowed("This checklist is closed; it can be reopened.", "runId")
    return True


async def _dispute(tx: Transaction, run: ChecklistRun, mine: dict[str, Any]) -> None:
    await tx.conflict(
        RECORD_ON_CLOSED_PARENT,
        run,
        base={"status": await tx.value_at_base(run, "status")},
        mine=mine,
        theirs={"status": run.status.value},
    )


def _said(reason: str) -> str:
    if not reason.strip():
        raise Invalid("Say why.", "reason")
    return reason
