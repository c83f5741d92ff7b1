"""Audits of the past, as an importer records them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.field import AT, site
from tests.support.house import House
from tournee.kernel.errors import Conflict, Invalid, NotFound
from tournee.quality.models import Audit, AuditFinding

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def record(house: House, **more: Any) -> Any:
    values = {"externalKey": "demo-1", "title": "Demo inspection", "performedAt": AT}
    return await house.run("recordPastAudit", "AUDITOR", **{**values, **more})


FINDINGS: list[dict[str, Any]] = [
    {"grade": "CRITICAL", "description": "Demo: no light", "code": "D1"},
    {"grade": "MINOR", "description": "Demo: dust"},
]


async def test_a_past_audit_is_recorded_closed_with_its_findings(house: House) -> None:
    site_id = await site(house)
    past = await record(
        house, siteId=site_id, findings=FINDINGS, result="FAIL", disposition="Closed down", scorePercent=41.5
    )
    assert (past.status, past.result, past.score_percent) == ("CLOSED", "FAIL", 41.5)
    assert past.performed_at == past.completed_at == past.closed_at
    assert past.customer_id is not None
    found = await house.rows(AuditFinding)
    assert {(row.code, row.grade.value, row.status.value) for row in found} == {
        ("D1", "CRITICAL", "CLOSED"),
        (None, "MINOR", "CLOSED"),
    }
    assert {(row.audit_id, row.site_id) for row in found} == {(past.id, site_id)}


async def test_a_past_audit_with_an_open_finding_stays_completed_until_closed(house: House) -> None:
    past = await record(house, findings=[{**FINDINGS[1], "status": "CORRECTED"}])
    assert (past.status, past.closed_at) == ("COMPLETED", None)
    (found,) = await house.rows(AuditFinding)
    await house.run("closeAuditFinding", findingId=found.id, at=AT)
    assert (await house.run("closeAudit", auditId=past.id, at=AT)).status == "CLOSED"


async def test_a_used_external_key_is_refused_and_leaves_nothing(house: House) -> None:
    await record(house, findings=FINDINGS)
    with pytest.raises(Conflict) as refusal:
        await record(house, findings=FINDINGS)
    assert refusal.value.field == "externalKey"
    assert (len(await house.rows(Audit)), len(await house.rows(AuditFinding))) == (1, 2)
    other = await House(house.database).found()
    assert await record(other)


async def test_the_site_defaults_to_that_of_the_asset(house: House) -> None:
    site_id = await site(house)
    asset = await house.run("createAsset", name="Demo unit", siteId=site_id)
    assert (await record(house, assetId=asset.id)).site_id == site_id


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"externalKey": " "}, "externalKey"),
        ({"performedAt": "2026-11-20"}, "performedAt"),
        ({"scorePercent": 101}, "scorePercent"),
        ({"findings": [{"grade": "BAD", "description": "x"}]}, "findings.0.grade"),
        ({"findings": [{"grade": "MINOR"}]}, "findings.0.description"),
    ],
)
async def test_a_bad_past_audit_is_refused_with_its_field(
    house: House, values: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        await record(house, **values)
    assert refusal.value.field == field
    assert await house.rows(Audit) == []


async def test_a_past_audit_can_refer_only_to_existing_records(house: House) -> None:
    for name in ("siteId", "assetId", "standardId"):
        with pytest.raises(NotFound) as refusal:
            await record(house, **{name: uuid4()})
        assert refusal.value.field == name
    with pytest.raises(NotFound) as refusal:
        await record(house, findings=[{**FINDINGS[0], "clauseId": uuid4()}])
    assert refusal.value.field == "findings.0.clauseId"
