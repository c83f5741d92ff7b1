"""Commands about quality."""

from tournee.quality.commands.findings import (
    close_audit_finding,
    correct_audit_finding,
    reopen_audit_finding,
    update_audit_finding,
    verify_audit_finding,
)
from tournee.quality.commands.past import (
    record_past_audit,
)
from tournee.quality.commands.performing import (
    add_audit_finding,
    answer_audit_item,
    close_audit,
    complete_audit,
    report_audit,
    start_audit,
)
from tournee.quality.commands.planning import (
    cancel_audit,
    create_audit,
    plan_audit,
    postpone_audit,
    set_audit_team,
    update_audit,
)
from tournee.quality.commands.standards import (
    create_quality_standard,
    create_standard_clause,
    update_quality_standard,
    update_standard_clause,
    withdraw_quality_standard,
)

__all__ = [
    "add_audit_finding",
    "answer_audit_item",
    "cancel_audit",
    "close_audit",
    "close_audit_finding",
    "complete_audit",
    "correct_audit_finding",
    "create_audit",
    "create_quality_standard",
    "create_standard_clause",
    "plan_audit",
    "postpone_audit",
    "record_past_audit",
    "reopen_audit_finding",
    "report_audit",
    "set_audit_team",
    "start_audit",
    "update_audit",
    "update_audit_finding",
    "update_quality_standard",
    "update_standard_clause",
    "verify_audit_finding",
    "withdraw_quality_standard",
]
