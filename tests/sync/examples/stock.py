"""Parts, their places and movements. Technician 1 has van 1."""

from tests.sync.examples.example import Example, Step, of

_OFFICE = "DISPATCHER"
_PART = {"partId": of("part/2")}
_FROM_VAN = {"fromLocationId": of("stock/van/1")}
_TO_VAN = {"toLocationId": of("stock/van/1")}
_ON_VISIT = {"appointmentId": of("appointment/1")}
_COUNT = {**_PART, "locationId": of("stock/van/1")}
# One more than there is, which opens a discrepancy.
_TOO_MANY: Step = (
    "TECHNICIAN",
    "usePart",
    {**_PART, **_FROM_VAN, **_ON_VISIT, "quantity": 4000, "id": of("movement/many")},
)
_COUNTED: Step = ("TECHNICIAN", "countStock", {**_COUNT, "counted": 0, "id": of("count/settles")})

EXAMPLES = {
    "createPart": Example(
        _OFFICE,
        {"id": of("part/new"), "number": "DEMO-N", "name": "Demo hinge", "minimum": 2000},
        reaches=True,
    ),
    "updatePart": Example(_OFFICE, {**_PART, "discontinued": True}, reaches=True),
    "createStockLocation": Example(
        _OFFICE,
        {
            "id": of("stock/new"),
            "name": "Demo bag",
            "kind": "VAN",
            "technicianId": of("technician/1"),
        },
        reaches=True,
    ),
    # The van passes to the other technician with its levels and movements.
    "updateStockLocation": Example(
        _OFFICE,
        {"stockLocationId": of("stock/van/1"), "assetId": None, "technicianId": of("technician/2")},
        reaches=True,
    ),
    "receiveStock": Example("TECHNICIAN", {**_PART, **_TO_VAN, "quantity": 2000}),
    "transferStock": Example(
        "TECHNICIAN", {**_PART, **_TO_VAN, "fromLocationId": of("stock/warehouse"), "quantity": 2000}
    ),
    # The level falls below zero, which opens a discrepancy.
    "usePart": Example("TECHNICIAN", _TOO_MANY[2]),
    "returnPart": Example("TECHNICIAN", {**_PART, **_TO_VAN, **_ON_VISIT, "quantity": 1000}),
    "scrapPart": Example("TECHNICIAN", {**_PART, **_FROM_VAN, "quantity": 1000}),
    # A late use from before an earlier count is accounted for there.
    "countStock": Example("TECHNICIAN", {**_COUNT, "counted": 1000}, before=[_TOO_MANY]),
    "reverseStockMovement": Example(
        "TECHNICIAN", {"movementId": of("movement/many")}, before=[_TOO_MANY, _COUNTED]
    ),
    "resolveStockDiscrepancy": Example(
        _OFFICE,
        lambda rows: {
            "discrepancyId": next(
                str(id)
                for id, row in rows.items()
                if row["entity"] == "StockDiscrepancy" and row["locationId"] == of("stock/van/1")
            ),
            "countId": of("count/settles"),
        },
        before=[_TOO_MANY, _COUNTED],
        reaches=True,
    ),
}
