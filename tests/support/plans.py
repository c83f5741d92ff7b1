"""How the databases would run a statement, by their EXPLAIN."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Select

from tests.support.house import House
from tournee.kernel.question import OWN, Question


async def plan_of(house: House, statement: Select[Any]) -> str:
    """Return the plan of a statement in a session of the application, whose tables are empty.

    PostgreSQL would rather scan and sort small tables, so it may do neither where an index serves.
    """
    dialect = house.database.engine.dialect
    question = Question(statement, dialect, ())
    values = question.parameters({OWN.key: house.organisation_id})
    async with house.reading() as session:
        connection = await (await session.connection()).get_raw_connection()
        driver: Any = connection.driver_connection
        if dialect.name == "sqlite":
            rows = await driver.execute_fetchall(f"EXPLAIN QUERY PLAN {question.text}", values)
            return "\n".join(row[-1] for row in rows)
        for way in ("seqscan", "sort", "bitmapscan"):
            await driver.execute(f"SET LOCAL enable_{way} = off")
        cursor = await driver.execute(f"EXPLAIN {question.text}", values)
        return "\n".join(row[0] for row in await cursor.fetchall())


def faults(plan: str, table: str) -> list[str]:
    """Return what makes a plan of PostgreSQL slow for a long table: reading all of it, or sorting more rows
    than a page has.
    """
    found = []
    above: list[tuple[int, str]] = []
    for line in plan.splitlines():
        node = re.match(
            r"( *)(?:->  )?((?:Seq Scan|Index|Bitmap|Sort|Incremental Sort|Limit)[^(]*)  \(", line
        )
        if node is None:
            continue
        depth, name = len(node[1]), node[2]
        above = [one for one in above if one[0] < depth]
        if f" on {table}" in name:
            kinds = [one for _, one in above]
            below_limit = kinds[len(kinds) - kinds[::-1].index("Limit") :] if "Limit" in kinds else kinds
            if name.startswith(("Seq Scan", "Bitmap")) or "Sort" in below_limit:
                found.append(f"{' > '.join([*kinds, name])}")
        above.append((depth, name))
    return found
