"""Parts: what technicians and the office do with them, and whether the ledger adds up."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.simulator.device import KIND, Device, Document, Draft, Person
from tests.simulator.violations import require

if TYPE_CHECKING:
    from tests.simulator.field import View
    from tests.simulator.office import Office
    from tests.simulator.sight import Rows

_ONE = 1000


def _chosen(dice: random.Random, rows: list[Document]) -> Document | None:
    return dice.choice(sorted(rows, key=lambda row: row["id"])) if rows else None


def stockwork(dice: random.Random, view: View, _person: Person, device: Device) -> list[Draft]:
    """Take, use, scrap or count a part."""
    part, places = _chosen(dice, view.all("Part")), view.all("StockLocation")
    van = _chosen(dice, [place for place in places if place["kind"] == "VAN"])
    if part is None or van is None:
        return []
    given: Document = {"id": device.new_id(), "partId": part["id"], "at": device.now()}
    quantity = {"quantity": _ONE * dice.randint(1, 4)}
    kind = dice.choice(["usePart", "usePart", "usePart", "transferStock", "scrapPart", "countStock"])
    if kind == "countStock":
        given |= {"locationId": van["id"], "counted": _ONE * dice.randint(0, 9)}
        return [Draft(kind, given, van["id"])]
    given |= quantity
    if kind == "transferStock":
        store = _chosen(dice, [place for place in places if place["kind"] == "WAREHOUSE"])
        if store is None:
            return []
        return [Draft(kind, given | {"fromLocationId": store["id"], "toLocationId": van["id"]}, van["id"])]
    given |= {"fromLocationId": van["id"]}
    work = _chosen(dice, view.all("Appointment") + view.all("WorkOrder")) if kind == "usePart" else None
    if work is not None:
        given["appointmentId" if work[KIND] == "Appointment" else "workOrderId"] = work["id"]
    return [Draft(kind, given, van["id"])]


async def move_stock(office: Office) -> str | None:
    """Make a delivery, a count, or a van's handover."""
    part, place = office.any("Part"), office.any("StockLocation")
    if part is None or place is None:
        return None
    choice = office.dice.random()
    if place["kind"] == "VAN" and choice < 0.4:
        to = office.technician().technician
        return await office.do("updateStockLocation", stockLocationId=place["id"], technicianId=to)
    if choice < 0.8:
        quantity = _ONE * office.dice.randint(1, 9)
        return await office.do("receiveStock", partId=part["id"], toLocationId=place["id"], quantity=quantity)
    counted = _ONE * office.dice.randint(0, 9)
    return await office.do("countStock", partId=part["id"], locationId=place["id"], counted=counted)


def check_ledger(rows: Rows) -> None:
    """Check levels against movements, that counts are explained, and levels below zero have a discrepancy."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    adjusted: dict[str, int] = defaultdict(int)
    for movement in rows["StockMovement"].values():
        for field, sign in (("fromLocationId", -1), ("toLocationId", 1)):
            if movement[field] is not None:
                sums[movement["partId"], movement[field]] += sign * movement["quantity"]
                adjusted[movement["countId"] or ""] += sign * movement["quantity"]
    levels = {(level["partId"], level["locationId"]): level for level in rows["StockLevel"].values()}
    require(len(levels) == len(rows["StockLevel"]), "a part has one level at a place", levels)
    require(sums.keys() <= levels.keys(), "every moved part has a level", sums)
    for key, level in levels.items():
        require(
            level["quantity"] == sums[key], "a level is the sum of its movements", f"{sums[key]}: {level}"
        )
        task = rows["StockDiscrepancy"].get(level["discrepancyId"])
        kept = level["quantity"] >= 0 or (task is not None and task["level"] == level["quantity"])
        require(kept, "a level below zero has a discrepancy", f"{task}: {level}")
    for id, count in rows["StockCount"].items():
        is_explained = count["difference"] == adjusted[id] == count["counted"] - count["expected"]
        require(is_explained, "a count and its adjustments agree", f"{adjusted[id]}: {count}")
