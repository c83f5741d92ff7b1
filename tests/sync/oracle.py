"""What a technician may see, computed in plain Python from the business tables alone.

Unlike the server it reads no edge, member or record row.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from uuid import UUID

from sqlalchemy import select

from tests.support.house import House
from tournee.catalogue import ENTITIES
from tournee.kernel.actor import Actor
from tournee.kernel.values import document, wire_value

_OVER = {"COMPLETED", "PARTIALLY_COMPLETED", "CANNOT_COMPLETE", "CANCELED"}
_ENDED = {"CLOSED", "CANCELED"}


class Oracle:
    """The rows of an organisation by entity, and the rules of visibility."""

    def __init__(self, rows: dict[str, list[Any]]) -> None:
        self.rows = rows

    @staticmethod
    async def read(house: House) -> Oracle:
        rows: dict[str, list[Any]] = defaultdict(list)
        async with house.reading() as session:
            for name, model in ENTITIES.items():
                found = await session.scalars(
                    select(model).where(
                        model.organisation_id == house.organisation_id, model.deleted.is_(False)
                    )
                )
                rows[name] = list(found)
        return Oracle(rows)

    def visits(self, technician: Any) -> list[Any]:
        """Return the technician's appointments in the window; an unfinished one stays however old."""
        assigned = {
            row.appointment_id
            for row in self.rows["Assignment"]
            if row.active and row.technician_id == technician.id
        }
        (profile,) = (row for row in self.rows["TechnicianProfile"] if row.technician_id == technician.id)
        found = []
        for visit in self.rows["Appointment"]:
            ended = visit.ends_at or visit.actual_end or visit.created_at
            in_future = visit.starts_at is not None and visit.starts_at >= profile.window_to
            in_past = visit.status in _OVER and ended < profile.window_from
            if visit.id in assigned and not in_future and not in_past:
                found.append(visit)
        return found

    def sight(self, actor: Actor) -> dict[UUID, dict[str, Any]]:
        """Return every row that the actor may see, as documents by id."""
        seen: dict[UUID, dict[str, Any]] = {}
        for technician in self.rows["Technician"]:
            if technician.account_id == actor.id and technician.status == "ACTIVE":
                seen |= self._of_technician(technician, actor)
        for name in (
            "Territory",
            "Skill",
            "Technician",
            "ChecklistTemplate",
            "QualityStandard",
            "StandardClause",
            "Part",
        ):
            seen |= self._take(name, lambda _row: True)
        seen |= self._take("ChecklistVersion", lambda row: row.status == "PUBLISHED")
        seen |= self._take("Account", lambda row: row.id == actor.id)
        seen |= self._take("StockLocation", lambda row: row.kind == "WAREHOUSE")
        seen |= self._take("Conflict", lambda row: actor.id in (row.actor_id, row.their_actor_id))
        seen |= self._take("Interaction", lambda row: row.author_id == actor.id)
        return seen

    def _of_technician(self, technician: Any, actor: Actor) -> dict[UUID, dict[str, Any]]:
        visits = self.visits(technician)
        visit_ids = {visit.id for visit in visits}
        orders = [
            order
            for order in self.rows["WorkOrder"]
            if order.id in {visit.work_order_id for visit in visits}
            or (order.reported_by_id == actor.id and order.status not in _ENDED)
        ]
        order_ids = {order.id for order in orders}
        customers = {thing.customer_id for thing in (*visits, *orders)}
        sites = {thing.site_id for thing in (*visits, *orders)} - {None}

        def located(row: Any) -> bool:
            if row.site_id is not None:
                return row.site_id in sites
            if row.holder_technician_id is not None:
                return row.holder_technician_id == technician.id
            return row.customer_id is not None and row.customer_id in customers

        vehicles = {row.id for row in self.rows["Asset"] if row.holder_technician_id == technician.id}
        vans = {
            row.id
            for row in self.rows["StockLocation"]
            if row.kind == "VAN" and (row.technician_id == technician.id or row.asset_id in vehicles)
        }

        def moved(row: Any) -> bool:
            on_work = row.appointment_id in visit_ids or (
                row.appointment_id is None and row.work_order_id in order_ids
            )
            return on_work or row.from_location_id in vans or row.to_location_id in vans

        def noted(row: Any) -> bool:
            return row.appointment_id in visit_ids or (
                row.appointment_id is None and row.work_order_id in order_ids
            )

        rules: dict[str, Any] = {
            "Appointment": lambda row: row.id in visit_ids,
            "WorkOrder": lambda row: row.id in order_ids,
            "Customer": lambda row: row.id in customers,
            "Site": lambda row: row.id in sites,
            "Contact": lambda row: row.customer_id in customers,
            "Expectation": lambda row: row.customer_id in customers,
            "Asset": located,
            "Meter": located,
            "Reading": located,
            "Note": noted,
            "StockLocation": lambda row: row.id in vans,
            "StockMovement": moved,
            "StockCount": lambda row: row.location_id in vans,
            "StockLevel": lambda row: row.location_id in vans,
            "StockDiscrepancy": lambda row: row.location_id in vans,
            "Assignment": lambda row: row.appointment_id in visit_ids,
            "AppointmentEvent": lambda row: row.appointment_id in visit_ids,
            "TimeEntry": lambda row: row.technician_id == technician.id or row.appointment_id in visit_ids,
        }
        for name in ("TechnicianProfile", "TerritoryMembership", "TechnicianSkill", "Shift", "Absence"):
            rules[name] = lambda row: row.technician_id == technician.id
        seen: dict[UUID, dict[str, Any]] = {}
        for name, rule in rules.items():
            seen |= self._take(name, rule)
        return seen

    def _take(self, name: str, rule: Any) -> dict[UUID, dict[str, Any]]:
        return {row.id: {"entity": name, **_plain(document(row))} for row in self.rows[name] if rule(row)}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: wire_value(value) for key, value in values.items()}
