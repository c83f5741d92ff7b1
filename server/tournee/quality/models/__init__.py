"""Standards, clauses, audits with their teams, answers and findings."""

from tournee.quality.models.audits import Audit, AuditAnswer, AuditFinding, AuditMember
from tournee.quality.models.membership import MEMBERSHIP, takes_part
from tournee.quality.models.standards import QualityStandard, StandardClause

__all__ = [
    "MEMBERSHIP",
    "Audit",
    "AuditAnswer",
    "AuditFinding",
    "AuditMember",
    "QualityStandard",
    "StandardClause",
    "takes_part",
]
