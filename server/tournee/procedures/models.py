"""Checklist templates, their versions, runs and answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Invalid, TransitionNotAllowed
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.state import Machine, Transition
from tournee.kernel.times import TimeSource
from tournee.procedures.answers import Answer
from tournee.procedures.definition import Answers, ChecklistItemInput, RunResult, outcome, read, stored
from tournee.procedures.permissions import PROCEDURES_READ
from tournee.procedures.validation import check_definition


class TemplateStatus(StrEnum):
    """Whether a checklist may be used for new work."""

    ACTIVE = "ACTIVE"
    """New runs can use it."""
    ARCHIVED = "ARCHIVED"
    """No new run can use it. Runs that exist go on."""


class VersionStatus(StrEnum):
    """A published version never changes."""

    DRAFT = "DRAFT"
    """Being written; only the office sees it."""
    PUBLISHED = "PUBLISHED"
    """In use, and unchanged for good."""


class RunStatus(StrEnum):
    """The stage of a checklist that is being worked through."""

    NEW = "NEW"
    """No item is answered yet."""
    IN_PROGRESS = "IN_PROGRESS"
    """Somebody has started."""
    COMPLETED = "COMPLETED"
    """Every required item is answered, and the result stands."""
    NOT_APPLICABLE = "NOT_APPLICABLE"
    """Dismissed, because there was nothing to check."""


TEMPLATE = Machine(
    {status: [other for other in TemplateStatus if other != status] for status in TemplateStatus}
)
VERSION = Machine({VersionStatus.DRAFT: [VersionStatus.PUBLISHED]})
RUN = Machine(
    {
        RunStatus.NEW: [RunStatus.IN_PROGRESS, RunStatus.COMPLETED, RunStatus.NOT_APPLICABLE],
        RunStatus.IN_PROGRESS: [RunStatus.COMPLETED, RunStatus.NOT_APPLICABLE],
        RunStatus.COMPLETED: [RunStatus.IN_PROGRESS],
        RunStatus.NOT_APPLICABLE: [RunStatus.IN_PROGRESS],
    }
)

ASKS_NOTHING = "A checklist without items cannot be published."


class ChecklistTemplate(Entity):
    """A checklist. What it asks is in its versions."""

    __tablename__ = "checklist_template"
    __table_args__ = (UniqueConstraint("organisation_id", "key"),)
    reads = PROCEDURES_READ
    decider = Role.DISPATCHER

    key: Mapped[str] = column(80, description="A short name that never changes.")
    title: Mapped[str] = column(200)
    """What people choose from a list."""
    description: Mapped[str | None] = column(2000)
    """When to use it; null if the title says it all."""
    status: Mapped[TemplateStatus] = column(merge=Merge.STATE_MACHINE, default=TemplateStatus.ACTIVE)
    """Whether new work may use it."""
    current_version: Mapped[int | None] = column(
        merge=Merge.SERVER_ONLY, description="The number of the version published last."
    )
    # No foreign key: versions point at their template, and two tables pointing at each other have no order.
    current_version_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    """The published version that new runs use; null until one is published."""

    def scopes(self) -> Iterable[UUID | None]:
        return (self.organisation_id,)

    def transitions(self) -> list[Transition]:
        return TEMPLATE.transitions(self.status)

    def move(self, to: TemplateStatus) -> None:
        TEMPLATE.require(self.status, to, field="templateId")
        self.status = to

    def against_use(self) -> list[str]:
        return [] if self.status is TemplateStatus.ACTIVE else ["This checklist is archived."]

    def require_active(self) -> None:
        if against := self.against_use():
            raise TransitionNotAllowed(" ".join(against), "templateId")


class ChecklistVersion(Entity):
    """What a checklist asks; unchanged once published. Answers stay with their version."""

    __tablename__ = "checklist_version"
    __table_args__ = (UniqueConstraint("organisation_id", "template_id", "number"),)
    reads = PROCEDURES_READ
    decider = Role.DISPATCHER

    template_id: Mapped[UUID] = reference("checklist_template", merge=Merge.SERVER_ONLY)
    """The checklist that this is a version of."""
    number: Mapped[int] = column(merge=Merge.SERVER_ONLY)
    """Counts the versions of one checklist from 1."""
    status: Mapped[VersionStatus] = column(merge=Merge.STATE_MACHINE, default=VersionStatus.DRAFT)
    """A draft can still be edited."""
    items: Mapped[list[dict[str, Any]]] = column(merge=Merge.SERVER_ONLY, default=list, of=ChecklistItemInput)
    """What it asks, in order; each has the fields of `ChecklistItemInput`."""
    published_at: Mapped[datetime | None] = column(time_source=TimeSource.SERVER, merge=Merge.SERVER_ONLY)
    """Null while it is a draft."""
    published_by_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    """The account that published it; null while it is a draft."""

    def scopes(self) -> Iterable[UUID | None]:
        """A draft is the office's."""
        return (self.organisation_id,) if self.status is VersionStatus.PUBLISHED else ()

    def against_publishing(self, template: ChecklistTemplate) -> list[str]:
        return ([] if self.items else [ASKS_NOTHING]) + template.against_use()

    def define(self, items: Sequence[ChecklistItemInput]) -> None:
        """Set what the checklist asks, while it is a draft."""
        self._require_draft()
        check_definition(items)
        self.items = stored(items)

    def publish(self, template: ChecklistTemplate, at: datetime, by: UUID) -> None:
        """Fix the definition for good, and make it the template's current one."""
        self._require_draft()
        template.require_active()
        if not self.items:
            raise Invalid(ASKS_NOTHING, "items")
        check_definition(read(self.items))
        self.status = VersionStatus.PUBLISHED
        self.published_at, self.published_by_id = at, by
        template.current_version, template.current_version_id = self.number, self.id

    def _require_draft(self) -> None:
        if self.status is not VersionStatus.DRAFT:
            raise TransitionNotAllowed("A published version never changes; draft a new one.", "versionId")


class ChecklistRun(Entity):
    """A checklist to work through: at a visit, for an order, at a site or on an asset."""

    __tablename__ = "checklist_run"
    reads = PROCEDURES_READ
    decider = Role.DISPATCHER

    template_id: Mapped[UUID] = reference("checklist_template", merge=Merge.SERVER_ONLY)
    """The checklist that is filled in."""
    version_id: Mapped[UUID] = reference("checklist_version", merge=Merge.SERVER_ONLY)
    """The version that was current when the run was added. Later versions don't change it."""
    appointment_id: Mapped[UUID | None] = reference("appointment", merge=Merge.SERVER_ONLY)
    """The visit it belongs to; null if to none."""
    work_order_id: Mapped[UUID | None] = reference("work_order", merge=Merge.SERVER_ONLY)
    """The order it belongs to; null if to none."""
    site_id: Mapped[UUID | None] = reference("site", merge=Merge.SERVER_ONLY)
    """The site where it is filled in; null for none in particular."""
    asset_id: Mapped[UUID | None] = reference("asset", merge=Merge.SERVER_ONLY)
    """The asset that is checked; null if none is."""
    technician_id: Mapped[UUID | None] = reference(
        "technician", merge=Merge.SERVER_ONLY, description="Who holds the asset, if it is our own."
    )
    required: Mapped[bool] = column(
        default=False, description="Whether the visit cannot be completed without it."
    )
    status: Mapped[RunStatus] = column(merge=Merge.STATE_MACHINE, default=RunStatus.NEW)
    """How far the work has come."""
    author_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY, description="The account that added it.")
    started_at: Mapped[datetime | None] = column(time_source=TimeSource.DEVICE, merge=Merge.SERVER_ONLY)
    """The earliest time at which somebody began; null until then."""
    completed_at: Mapped[datetime | None] = column(time_source=TimeSource.DEVICE, merge=Merge.SERVER_ONLY)
    """When the last item was answered, by the device's clock; null until then."""
    completed_by_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    """The account that completed it; null until then."""
    reason: Mapped[str | None] = column(
        1000, merge=Merge.SERVER_ONLY, description="Why it does not apply, or why it was reopened."
    )
    result: Mapped[RunResult | None] = column(merge=Merge.SERVER_ONLY, description="Null until it is closed.")

    def scopes(self) -> Iterable[UUID | None]:
        return (_hangs_on(self),)

    def is_over(self) -> bool:
        return not self.is_open

    @property
    def is_open(self) -> bool:
        return self.status in (RunStatus.NEW, RunStatus.IN_PROGRESS)

    def start(self, at: datetime) -> None:
        """Start it, unless it has started earlier."""
        if self.status is RunStatus.NEW:
            self.status = RunStatus.IN_PROGRESS
        if self.started_at is None or at < self.started_at:
            self.started_at = at

    def complete(self, at: datetime, by: UUID) -> None:
        self.start(at)
        self.status = RunStatus.COMPLETED
        self.completed_at, self.completed_by_id, self.reason = at, by, None

    def dismiss(self, reason: str) -> None:
        """Dismiss it: it does not apply."""
        RUN.require(self.status, RunStatus.NOT_APPLICABLE, field="runId")
        self.status, self.reason, self.result = RunStatus.NOT_APPLICABLE, reason, RunResult.NA

    def against_reopening(self) -> list[str]:
        return ["This checklist is open."] if self.is_open else []

    def reopen(self, reason: str) -> None:
        if against := self.against_reopening():
            raise TransitionNotAllowed(" ".join(against), "runId")
        RUN.require(self.status, RunStatus.IN_PROGRESS, field="runId")
        self.status, self.reason = RunStatus.IN_PROGRESS, reason
        self.completed_at = self.completed_by_id = self.result = None

    def derive(self, items: Sequence[ChecklistItemInput], answers: Answers) -> None:
        """Derive the result of a completed checklist from its answers."""
        if self.status is RunStatus.COMPLETED:
            self.result = outcome(items, answers)


class ChecklistAnswer(Answer):
    """The answer to one item of a run; the change log has its history."""

    __tablename__ = "checklist_answer"
    reads = PROCEDURES_READ
    is_fact = True
    decider = Role.DISPATCHER

    run_id: Mapped[UUID] = reference("checklist_run", merge=Merge.APPEND_ONLY)
    """The run that it is part of."""
    appointment_id: Mapped[UUID | None] = reference("appointment", merge=Merge.SERVER_ONLY)
    """As in the run."""
    work_order_id: Mapped[UUID | None] = reference("work_order", merge=Merge.SERVER_ONLY)
    """As in the run."""
    site_id: Mapped[UUID | None] = reference("site", merge=Merge.SERVER_ONLY)
    """As in the run."""
    technician_id: Mapped[UUID | None] = reference("technician", merge=Merge.SERVER_ONLY)
    """The technician who holds the checked asset, if it is our own; else null."""
    author_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY, description="The account that added the run.")

    def scopes(self) -> Iterable[UUID | None]:
        """Those of its run."""
        return (_hangs_on(self),)


def _hangs_on(row: ChecklistRun | ChecklistAnswer) -> UUID:
    """The nearest thing of all that a run is about; who sees that sees the run."""
    return row.appointment_id or row.site_id or row.work_order_id or row.technician_id or row.author_id
