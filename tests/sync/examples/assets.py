"""Assets at sites or in hand, and their meter readings."""

from tests.sync.examples.example import Example, Step, at, day, of

_ASSET = {"assetId": of("asset/1")}
_NEW = {"assetId": of("asset/new")}


def _found(status: str) -> list[Step]:
    asset = {"id": of("asset/new"), "siteId": of("site/1"), "name": "Demo pump", "status": status}
    return [("TECHNICIAN", "createAsset", asset)]


EXAMPLES = {
    "createAsset": Example(
        "TECHNICIAN",
        {"id": of("asset/new"), "siteId": of("site/1"), "name": "Demo pump", "status": "OUT_OF_SERVICE"},
    ),
    "updateAsset": Example(
        "TECHNICIAN", {**_ASSET, "notes": "Demo: door sticks.", "specification": {"a": "b"}}
    ),
    # It moves with its part and meter to a site that the technician does not see.
    "moveAsset": Example("DISPATCHER", {**_ASSET, "siteId": of("site/5")}, reaches=True),
    "installAsset": Example("TECHNICIAN", {**_NEW, "installedOn": day(0)}, before=_found("PLANNED")),
    "commissionAsset": Example("TECHNICIAN", _NEW, before=_found("INSTALLED")),
    "takeAssetOutOfService": Example("TECHNICIAN", _ASSET),
    "returnAssetToService": Example("TECHNICIAN", _NEW, before=_found("OUT_OF_SERVICE")),
    "retireAsset": Example("TECHNICIAN", _ASSET),
    "createMeter": Example(
        "TECHNICIAN", {**_ASSET, "id": of("meter/new"), "name": "Pressure", "unit": "bar", "kind": "GAUGE"}
    ),
    "updateMeter": Example("TECHNICIAN", {"meterId": of("meter/1"), "name": "Hours run"}),
    # The corrected reading and the one compared with it change too.
    "recordReading": Example(
        "TECHNICIAN",
        {
            "id": of("reading/new"),
            "meterId": of("meter/1"),
            "value": 3.0,
            "takenAt": at(days=-60),
            "correctsId": of("reading/1/2"),
        },
    ),
}
