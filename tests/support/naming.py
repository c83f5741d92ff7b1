"""Watches statements for what a database that is distributed by organisation would refuse.

Citus sends a statement to the node that has the organisation's rows, so the statement must name it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event

from tournee.engine.database import Database
from tournee.engine.engines import ORGANISATION, Across

# Statements that need not name an organisation, and why.
NAMELESS = {
    r"(RELEASE |ROLLBACK TO )?SAVEPOINT ": "It concerns the transaction.",
    r"(PRAGMA |BEGIN)": "It concerns the transaction.",
    r"SELECT EXISTS \(SELECT FROM pg_extension ": "It asks what the database can do, once.",
    r"ANALYZE$": "It counts all rows.",
    r"SET CONSTRAINTS ALL IMMEDIATE$": "It concerns the transaction.",
    r"SELECT pg_notify\(": "It names no table.",
    r"SELECT pg_advisory_xact_lock\(": "It names no table.",
    r"SELECT sign_in_email\.organisation_id FROM ": "A sign-in knows an e-mail; each node has these.",
    r"SELECT account\..* account\.organisation_id (IN|= ANY) ": "It names the organisations of the e-mail.",
    r"SELECT refresh_token\..* WHERE refresh_token\.hash = ": "A token from before they named theirs.",
    r"SELECT head\..* IN \(": "Those who ask at the same time ask once for all their organisations.",
    r".*\b(failed_attempt|lease|server_key)\b": "The table belongs to all servers.",
    r"SELECT organisation\.id FROM organisation( WHERE organisation\.id > \S+)? ORDER ": "All in turn.",
}

# What Citus refuses although it names an organisation, and why.
REFUSED = {
    r"INSERT .* FROM unnest\((?!.* RETURNING )": "It would be a COPY, which row-level security forbids.",
    r"(UPDATE|DELETE) .*, .*\) IN \(SELECT ": "It is not sent to one node; join the rows instead.",
    r"(?!.*organisation_id = ).* FOR (NO KEY |KEY )?(UPDATE|SHARE)": "A lock needs the organisation.",
}


class Watched:
    """The statements that broke a rule."""

    def __init__(self) -> None:
        self.nameless: set[str] = set()
        self.refused: set[str] = set()
        self.count = 0

    def see(
        self, connection: Connection, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool
    ) -> None:
        self.count += 1
        own = connection.get_execution_options().get(ORGANISATION)
        text = " ".join(statement.split())
        if isinstance(own, Across) or not getattr(context.compiled, "bound_by", None):
            self.nameless.add(text)
        if connection.dialect.name == "postgresql" and any(re.match(rule, text) for rule in REFUSED):
            self.refused.add(text)

    def check(self) -> None:
        assert self.count, "No statement was seen."
        wrong = {text for text in self.nameless if not any(re.match(rule, text) for rule in NAMELESS)}
        assert not wrong, wrong
        assert not self.refused, self.refused


@contextmanager
def watching(database: Database) -> Iterator[Watched]:
    """Watch the statements inside the block, and check them at its end."""
    watched = Watched()
    engines = {database.engine.sync_engine, database._writes.sync_engine}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", watched.see)
    try:
        yield watched
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", watched.see)
    watched.check()
