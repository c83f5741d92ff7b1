"""What an account may see, computed in plain Python from the business rows alone.

It reads no edge, membership or record row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from tests.simulator.device import KIND
from tests.simulator.violations import Violation
from tournee.auth.roles import Role, permissions_of
from tournee.catalogue import ENTITIES

Document = dict[str, Any]
Rows = dict[str, dict[str, Document]]
Rule = Callable[[Document], bool]

_OFFICE = {"DISPATCHER", "MANAGER", "AUDITOR", "REPORTING"}
_OVER = {"COMPLETED", "PARTIALLY_COMPLETED", "CANNOT_COMPLETE", "CANCELED"}
_ENDED = {"CLOSED", "CANCELED"}
_CATALOGUE = {
    "Territory", "Skill", "Technician", "ChecklistTemplate", "QualityStandard", "StandardClause", "Part",
}  # fmt: skip
_OF_TECHNICIAN = {"TechnicianProfile", "TerritoryMembership", "TechnicianSkill"}
_OFFICE_ONLY: set[str] = {"WebhookEndpoint"}


def sight(rows: Rows, account_id: str) -> dict[str, Document]:
    """Return every row that the account may see now, by id, each with the name of its entity."""
    account = rows["Account"].get(account_id)
    if account is None or account["status"] != "ACTIVE":
        return {}
    readable = _readable(account["role"])
    if account["role"] in _OFFICE:
        return {id: {KIND: name, **row} for name in readable & rows.keys() for id, row in rows[name].items()}
    rules = _either(_own(account_id), _audited(rows, account_id))
    for technician in rows["Technician"].values():
        if technician["accountId"] == account_id and technician["status"] == "ACTIVE":
            rules = _either(rules, _rules(rows, technician, account_id))
    if unknown := rows.keys() - _KNOWN - _OFFICE_ONLY:
        raise Violation("the oracle knows every entity", f"no rule of sight for {sorted(unknown)}")
    return {
        id: {KIND: name, **row}
        for name in readable & rows.keys()
        for id, row in rows[name].items()
        if name in rules and rules[name](row)
    }


def _readable(role: str) -> set[str]:
    return {name for name, model in ENTITIES.items() if model.reads in permissions_of(Role(role))}


def _own(account: str) -> dict[str, Rule]:
    """Return the rules for what everybody sees: the catalogue, themselves, and records of their own work."""
    rules: dict[str, Rule] = dict.fromkeys(_CATALOGUE, lambda _row: True)
    return rules | {
        "ChecklistVersion": lambda row: row["status"] == "PUBLISHED",
        "Account": lambda row: row["id"] == account,
        "Device": lambda row: row["accountId"] == account,
        "StockLocation": lambda row: row["kind"] == "WAREHOUSE",
        "Conflict": lambda row: account in (row["actorId"], row["theirActorId"]),
        "Interaction": lambda row: row["authorId"] == account,
        "ChecklistRun": lambda row: _hangs_on(row) == account,
        "ChecklistAnswer": lambda row: _hangs_on(row) == account,
    }


def _audited(rows: Rows, account: str) -> dict[str, Rule]:
    """Return the rules for audits that the account leads, takes part in or is responsible for."""
    windows = _windows(rows, account)
    team = {row["auditId"] for row in rows["AuditMember"].values() if row["accountId"] == account}
    audits = {
        id
        for id, row in rows["Audit"].items()
        if (id in team or account in (row["leadAuditorId"], row["auditeeResponsibleId"]))
        and _audit_counts(row, windows)
    }
    rules: dict[str, Rule] = dict.fromkeys(
        ("AuditMember", "AuditAnswer", "AuditFinding"), lambda row: row["auditId"] in audits
    )
    return rules | {"Audit": lambda row: row["id"] in audits}


def _either(rules: dict[str, Rule], others: dict[str, Rule]) -> dict[str, Rule]:
    def both(one: Rule, other: Rule) -> Rule:
        return lambda row: one(row) or other(row)

    return rules | {name: both(rules[name], rule) if name in rules else rule for name, rule in others.items()}


def _hangs_on(row: Document) -> str:
    """Return the id of the record that decides who sees a checklist: the nearest one that it belongs to."""
    names = ("appointmentId", "siteId", "workOrderId", "technicianId", "authorId")
    return next(row[name] for name in names if row[name] is not None)


def visits_of(rows: Rows, technician: Document) -> list[Document]:
    """Return the assigned visits in the window; an unfinished one stays however old."""
    assigned = {
        row["appointmentId"]
        for row in rows["Assignment"].values()
        if row["active"] and row["technicianId"] == technician["id"]
    }
    profiles = [row for row in rows["TechnicianProfile"].values() if row["technicianId"] == technician["id"]]
    return [
        visit
        for visit in rows["Appointment"].values()
        if visit["id"] in assigned and any(_in_window(visit, profile) for profile in profiles)
    ]


def _in_window(visit: Document, profile: Document) -> bool:
    if visit["startsAt"] is not None and time(visit["startsAt"]) >= time(profile["windowTo"]):
        return False
    ended = visit["endsAt"] or visit["actualEnd"] or visit["createdAt"]
    return visit["status"] not in _OVER or time(ended) >= time(profile["windowFrom"])


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _windows(rows: Rows, account: str) -> list[Document]:
    own = {id for id, row in rows["Technician"].items() if row["accountId"] == account}
    return [row for row in rows["TechnicianProfile"].values() if row["technicianId"] in own]


def _audit_counts(audit: Document, windows: list[Document]) -> bool:
    """Return whether an audit is open, or ended in the window; somebody without a window keeps all."""
    ended = audit["closedAt"] or audit["plannedTo"] or audit["plannedFrom"] or audit["createdAt"]
    is_over = audit["status"] in ("CLOSED", "CANCELED")
    return not is_over or all(time(ended) >= time(window["windowFrom"]) for window in windows)


def _number(moment: datetime, weeks: int) -> int:
    """Return in which period a moment lies; they are so many weeks long and begin on Mondays."""
    return (moment.astimezone(UTC).toordinal() - 1) // 7 // weeks


def _in_periods(windows: list[Document], *times: str, weeks: int = 1, ahead: int = 0) -> bool:
    """Return whether a record with these dates touches the periods of a window."""
    first, last = (_number(moment, weeks) for moment in (min(map(time, times)), max(map(time, times))))
    if last - first >= 5:
        return True
    spans = [(_number(time(w["windowFrom"]), weeks), _number(time(w["windowTo"]), weeks)) for w in windows]
    return any(begin <= last and first <= end + ahead for begin, end in spans)


def _rules(rows: Rows, technician: Document, account: str) -> dict[str, Rule]:
    own = technician["id"]
    windows = _windows(rows, account)
    current = {id for id, row in rows["Audit"].items() if _audit_counts(row, windows)}
    visits = visits_of(rows, technician)
    visit_ids = {visit["id"] for visit in visits}
    with_visit = {visit["workOrderId"] for visit in visits}
    orders = [
        order
        for order in rows["WorkOrder"].values()
        if order["id"] in with_visit or (order["reportedById"] == account and order["status"] not in _ENDED)
    ]
    order_ids = {order["id"] for order in orders}
    reported = [
        order for order in orders if order["reportedById"] == account and order["status"] not in _ENDED
    ]
    customers = {thing["customerId"] for thing in (*visits, *reported)}
    sites = {thing["siteId"] for thing in (*visits, *reported)} - {None}
    held: set[str] = visit_ids | order_ids | customers | sites | {own}

    def noted(row: Document) -> bool:
        return row["appointmentId"] in visit_ids or (
            row["appointmentId"] is None and row["workOrderId"] in order_ids
        )

    rules: dict[str, Rule] = {
        "Appointment": lambda row: row["id"] in visit_ids,
        "WorkOrder": lambda row: row["id"] in order_ids,
        "Customer": lambda row: row["id"] in customers,
        "Site": lambda row: row["id"] in sites,
        "Contact": lambda row: row["customerId"] in customers,
        "Expectation": lambda row: row["customerId"] in customers,
        "Note": noted,
        "Assignment": lambda row: row["appointmentId"] in visit_ids,
        "AppointmentEvent": lambda row: row["appointmentId"] in visit_ids,
        "TimeEntry": lambda row: (
            row["appointmentId"] in visit_ids
            or (
                row["technicianId"] == own
                and (
                    _in_periods(windows, row["startsAt"], row["endsAt"])
                    or _in_periods(windows, row["createdAt"])
                )
            )
        ),
        "Shift": lambda row: (
            row["technicianId"] == own and _in_periods(windows, row["startsAt"], row["endsAt"])
        ),
        "Absence": lambda row: (
            row["technicianId"] == own
            and (
                row["status"] == "REQUESTED"
                or _in_periods(windows, row["startsAt"], row["endsAt"], weeks=52, ahead=1)
            )
        ),
        "ChecklistRun": lambda row: _hangs_on(row) in held,
        "ChecklistAnswer": lambda row: _hangs_on(row) in held,
        "Audit": lambda row: row["siteId"] in sites or (row["technicianId"] == own and row["id"] in current),
    }
    rules |= dict.fromkeys(
        ("AuditAnswer", "AuditFinding"),
        lambda row: row["siteId"] in sites or (row["technicianId"] == own and row["auditId"] in current),
    )
    rules |= _stocked(_vans(rows, own), visit_ids | order_ids, windows)
    located = _located(own, sites, customers)
    rules |= dict.fromkeys(("Asset", "Meter", "Reading"), located)
    rules |= dict.fromkeys(_OF_TECHNICIAN, lambda row: row["technicianId"] == own)
    return rules


def _vans(rows: Rows, own: str) -> set[str]:
    """Return the vans that a technician holds by name or through the vehicle."""
    vehicles = {id for id, asset in rows["Asset"].items() if asset["holderTechnicianId"] == own}
    return {
        id
        for id, place in rows["StockLocation"].items()
        if place["kind"] == "VAN" and (place["technicianId"] == own or place["assetId"] in vehicles)
    }


def _stocked(vans: set[str], work: set[str], windows: list[Document]) -> dict[str, Rule]:
    """Return the rules for the stock of the vans and the movements on visible work."""

    def dated(row: Document) -> bool:
        return any(_in_periods(windows, row[name]) for name in ("occurredAt", "createdAt"))

    def moved(row: Document) -> bool:
        places = {row["fromLocationId"], row["toLocationId"]}
        return (bool(places & vans) and dated(row)) or (row["appointmentId"] or row["workOrderId"]) in work

    def lacking(row: Document) -> bool:
        ended = row["resolvedAt"]
        return row["locationId"] in vans and (ended is None or _in_periods(windows, ended))

    return {
        "StockLocation": lambda row: row["id"] in vans,
        "StockMovement": moved,
        "StockCount": lambda row: row["locationId"] in vans and dated(row),
        "StockLevel": lambda row: row["locationId"] in vans,
        "StockDiscrepancy": lacking,
    }


def _located(own: str, sites: Iterable[str], customers: Iterable[str]) -> Rule:
    """Return the rule for assets: visible through their site, else their holder, else their customer."""

    def seen(row: Document) -> bool:
        if row["siteId"] is not None:
            return row["siteId"] in sites
        if row["holderTechnicianId"] is not None:
            return row["holderTechnicianId"] == own
        return row["customerId"] is not None and row["customerId"] in customers

    return seen


_NOTHING: Rows = defaultdict(dict)
_KNOWN = _own("").keys() | _audited(_NOTHING, "").keys() | _rules(_NOTHING, {"id": ""}, "").keys()
