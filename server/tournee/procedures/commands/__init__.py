"""Commands about checklists."""

from tournee.procedures.commands.runs import (
    add_checklist_run,
    answer_checklist_item,
    complete_checklist_run,
    dismiss_checklist_run,
    reopen_checklist_run,
    start_checklist_run,
)
from tournee.procedures.commands.templates import (
    archive_checklist_template,
    create_checklist_template,
    draft_checklist_version,
    publish_checklist_version,
    restore_checklist_template,
    update_checklist_draft,
    update_checklist_template,
)

__all__ = [
    "add_checklist_run",
    "answer_checklist_item",
    "archive_checklist_template",
    "complete_checklist_run",
    "create_checklist_template",
    "dismiss_checklist_run",
    "draft_checklist_version",
    "publish_checklist_version",
    "reopen_checklist_run",
    "restore_checklist_template",
    "start_checklist_run",
    "update_checklist_draft",
    "update_checklist_template",
]
