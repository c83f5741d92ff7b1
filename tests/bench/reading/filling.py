"""The tables that the reads are measured on, filled by SQL."""

from __future__ import annotations

import os

from sqlalchemy import text

from tests.bench.organisation import BenchOrganisation
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS

TIMES = int(os.environ.get("ROWS", "1"))
# The technician sees so many of the visits.
CUSTOMERS, ASSETS, VISITS, HELD = 1_000 * TIMES, 5_000 * TIMES, 20_000 * TIMES, 300
CREW = 20

_FILL = """
CREATE TEMPORARY TABLE c ON COMMIT DROP AS
  SELECT n, gen_random_uuid() AS id FROM generate_series(1, :customers) n;
CREATE TEMPORARY TABLE s ON COMMIT DROP AS
  SELECT n, gen_random_uuid() AS id, 1 + n % :customers AS c FROM generate_series(1, :assets) n;
CREATE TEMPORARY TABLE p ON COMMIT DROP AS SELECT n, gen_random_uuid() AS id FROM c;
CREATE TEMPORARY TABLE t ON COMMIT DROP AS
  SELECT n, gen_random_uuid() AS id FROM generate_series(1, :crew) n;
CREATE TEMPORARY TABLE k ON COMMIT DROP AS SELECT n, gen_random_uuid() AS id FROM generate_series(1, 3) n;
CREATE TEMPORARY TABLE v ON COMMIT DROP AS
  SELECT n, gen_random_uuid() AS id, gen_random_uuid() AS work_order_id, 1 + n % :assets AS s
  FROM generate_series(1, :visits) n;
INSERT INTO customer (organisation_id, id, created_at, deleted, name, kind, status, tags)
  SELECT :org, id, now(), false, 'Demo Customer ' || n, 'ORGANISATION', 'ACTIVE', '[]' FROM c;
INSERT INTO site (organisation_id, id, created_at, deleted, customer_id, name, city, time_zone)
  SELECT :org, p.id, now(), false, c.id, 'Demo Site ' || p.n, 'Demo City', 'Europe/Berlin'
  FROM p JOIN c ON c.n = p.n;
INSERT INTO technician (organisation_id, id, created_at, deleted, name, kind, status, time_zone)
  SELECT :org, id, now(), false, 'Demo Technician ' || n, 'EMPLOYEE', 'ACTIVE', 'Europe/Berlin' FROM t;
INSERT INTO skill (organisation_id, id, created_at, deleted, name, expires)
  SELECT :org, id, now(), false, 'Demo Skill ' || n, false FROM k;
INSERT INTO technician_skill (organisation_id, id, created_at, deleted, skill_id, technician_id, level)
  SELECT :org, gen_random_uuid(), now(), false, k.id, t.id, 1 FROM k JOIN t ON t.n % 2 = 0;
INSERT INTO asset (organisation_id, id, created_at, deleted, name, ownership, kind, status, criticality,
    specification, serial_number, customer_id)
  SELECT :org, s.id, now(), false, 'Demo Lift ' || s.n, 'CUSTOMER', 'EQUIPMENT', 'ACTIVE', 'MEDIUM', '{}',
    'SN-' || s.n, c.id FROM s JOIN c ON c.n = s.c;
INSERT INTO work_order (organisation_id, id, created_at, deleted, number, customer_id, summary, kind,
    priority, status, required_skill_ids, reported_by_id)
  SELECT :org, v.work_order_id, now(), false, 'WO-' || v.n, c.id, 'Demo order', 'OTHER', 'NORMAL', 'NEW',
    json_build_array(k.id), :account
  FROM v JOIN s ON s.n = v.s JOIN c ON c.n = s.c JOIN k ON k.n = 1 + v.n % 3;
INSERT INTO appointment (organisation_id, id, created_at, deleted, work_order_id, customer_id, asset_id,
    site_id, summary, status, starts_at, ends_at, travel_minutes, work_minutes, break_minutes, lock_mode)
  SELECT :org, v.id, now(), false, v.work_order_id, c.id, s.id, p.id, 'Demo visit ' || v.n, 'SCHEDULED',
    timestamptz '2026-01-01Z' + v.n * interval '7 minutes',
    timestamptz '2026-01-02Z' + v.n * interval '7 minutes',
    0, 0, 0, 'OPTIMIZE' FROM v JOIN s ON s.n = v.s JOIN c ON c.n = s.c JOIN p ON p.n = c.n;
INSERT INTO assignment (organisation_id, id, created_at, deleted, appointment_id, technician_id, lead,
    active, until)
  SELECT :org, gen_random_uuid(), now(), false, v.id, t.id, true, true, timestamptz '9999-12-31T00:00:00Z'
  FROM v JOIN t ON t.n = 1 + v.n % :crew;
INSERT INTO edge (organisation_id, scope, record_id, seq, open) SELECT :org, id, id, 1, true FROM v;
INSERT INTO edge (organisation_id, scope, record_id, seq, open)
  SELECT :org, v.id, s.id, 1, true FROM v JOIN s ON s.n = v.s;
INSERT INTO edge (organisation_id, scope, record_id, seq, open)
  SELECT :org, v.id, c.id, 1, true FROM v JOIN s ON s.n = v.s JOIN c ON c.n = s.c;
INSERT INTO member (organisation_id, account_id, scope, from_seq)
  SELECT :org, :account, id, 0 FROM v WHERE n % (:visits / :held) = 7
"""


async def fill(database: Database, filled: BenchOrganisation) -> None:
    """Fill the organisation's tables, and let the database count them."""
    sizes: dict[str, object] = {
        "org": filled.id, "account": filled.technician.id, "customers": CUSTOMERS, "assets": ASSETS,
        "visits": VISITS, "held": HELD, "crew": CREW,
    }  # fmt: skip
    async with database.writing(ACROSS) as session:
        for statement in _FILL.split(";\n"):
            named = {name: value for name, value in sizes.items() if f":{name}" in statement}
            await session.execute(text(statement), named)
        await session.commit()
    await database.analyse()
