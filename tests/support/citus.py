"""Lets a plain PostgreSQL look like one with Citus, as far as the server looks.

The functions move no row. They refuse what those of Citus refuse, so that the order and the statements of
`tournee distribute` are tested: a reference to a table that is not distributed, a unique constraint without
the column, a policy with a sub-select, and COPY into a table whose policies bind its owner.
"""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy import make_url

from tests.support.postgres import libpq

_EXTENSION = """
SET allow_system_table_mods = on;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
SELECT 99999, 'citus', extowner, extnamespace, false, '13' FROM pg_extension LIMIT 1
"""

_FUNCTIONS = """
CREATE TABLE pg_dist_partition (
    logicalrelid regclass PRIMARY KEY, partmethod "char", repmodel "char", partkey text, place serial);
CREATE TABLE truncated (relation regclass, place serial);
CREATE FUNCTION column_to_column_name(regclass, text) RETURNS text LANGUAGE sql AS 'SELECT $2';

CREATE FUNCTION check_table(relation regclass, own text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wrong text;
    filled bool;
BEGIN
    SELECT confrelid::regclass INTO wrong FROM pg_constraint
     WHERE conrelid = relation AND contype = 'f' AND confrelid <> relation
       AND (own IS NULL OR confrelid NOT IN (SELECT logicalrelid FROM pg_dist_partition));
    IF FOUND THEN RAISE 'referenced table "%" must be a distributed table', wrong; END IF;
    SELECT indexrelid::regclass INTO wrong FROM pg_index
     WHERE indrelid = relation AND indisunique AND own IS NOT NULL
       AND NOT (SELECT attnum FROM pg_attribute WHERE attrelid = relation AND attname = own) = ANY (indkey);
    IF FOUND THEN RAISE 'cannot create constraint on "%": it lacks %', wrong, own; END IF;
    SELECT polname INTO wrong FROM pg_policy
     WHERE polrelid = relation AND pg_get_expr(polqual, polrelid) LIKE '%SELECT%';
    IF FOUND THEN RAISE 'cannot create policy: subqueries are not supported'; END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', relation) INTO filled;
    IF filled AND (SELECT relforcerowsecurity FROM pg_class WHERE oid = relation) THEN
        RAISE 'COPY FROM not supported with row-level security';
    END IF;
END $$;

CREATE FUNCTION create_distributed_table(relation regclass, own text, colocate_with text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_table(relation, own);
    IF colocate_with <> 'none'
       AND to_regclass(colocate_with) NOT IN (SELECT logicalrelid FROM pg_dist_partition) THEN
        RAISE 'relation % is not distributed', colocate_with;
    END IF;
    INSERT INTO pg_dist_partition VALUES (relation, 'h', 's', own);
END $$;

CREATE FUNCTION create_reference_table(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_table(relation, NULL);
    INSERT INTO pg_dist_partition VALUES (relation, 'n', 't', NULL);
END $$;

CREATE FUNCTION truncate_local_data_after_distributing_table(relation regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_constraint WHERE confrelid = relation AND contype = 'f'
                AND conrelid NOT IN (SELECT logicalrelid FROM pg_dist_partition)) THEN
        RAISE 'cannot truncate a table referenced in a foreign key constraint by a local table';
    END IF;
    INSERT INTO truncated VALUES (relation);
END $$;
"""


def superuser(url: str) -> psycopg.Connection[Any]:
    """Connect to this database as its server's superuser."""
    powerful = make_url(url).set(username="postgres").render_as_string(hide_password=False)
    return psycopg.connect(libpq(powerful), autocommit=True)


def add_extension(url: str) -> None:
    """Let the catalogue name the extension."""
    with superuser(url) as connection:
        connection.execute(_EXTENSION.encode())


def pretend_citus(url: str) -> None:
    """Add the extension, and functions that keep the rules of Citus's."""
    add_extension(url)
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        connection.execute(_FUNCTIONS.encode())


def distributed(url: str) -> dict[str, str | None]:
    """Return the distributed tables with their columns, in the order in which they were distributed."""
    with psycopg.connect(libpq(url)) as connection:
        found = connection.execute("SELECT logicalrelid::text, partkey FROM pg_dist_partition ORDER BY place")
        return dict(found.fetchall())
