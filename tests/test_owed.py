"""Everything that a domain lacks is named one by one, with what to do about it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from graphql import build_schema
from sqlalchemy import create_engine, text

from tests import owed
from tournee.kernel.entity import Entity
from tournee.reporting import views

UNHEARD: Any = SimpleNamespace(__name__="Unheard", __module__="tournee.unheard.models", scopes=Entity.scopes)


@pytest.mark.slow("It runs every migration and builds the schema.")
def test_no_domain_lacks_anything() -> None:
    assert list(owed.owed()) == []


def test_a_table_without_row_security_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        owed, "ENTITIES", {"Unheard": SimpleNamespace(__name__="Unheard", __tablename__="unheard")}
    )
    (sentence,) = owed.migrations_owed()
    assert sentence.startswith('Unheard has no row security: call protect("unheard")')


def test_a_column_without_a_migration_is_named(sqlite_template: Path, tmp_path: Path) -> None:
    file = shutil.copy(sqlite_template, tmp_path / "older.db")
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        views.drop(connection)
        connection.execute(text("ALTER TABLE customer DROP COLUMN phone"))
    engine.dispose()
    (sentence,) = owed.differences(f"sqlite:///{file}")
    assert sentence.startswith("No migration does this: add_column customer.phone.")


def test_an_entity_without_visibility_rules_is_named_for_both() -> None:
    scopes, simulator = owed.sight_owed([UNHEARD])
    assert scopes.startswith("Unheard does not declare its scopes: write `scopes` in")
    assert "server/tournee/unheard/models.py" in scopes
    assert simulator.startswith("The simulator does not know who sees Unheard: add a rule to")


def test_a_command_without_an_example_is_named() -> None:
    (sentence,) = owed.examples_owed(["signUnheard", "addNote"], ["addNote"])
    assert sentence.startswith("signUnheard has no example")


def test_a_permission_missing_from_the_table_is_named() -> None:
    (sentence,) = owed.permissions_owed(["nobody:read", "work:read"])
    assert sentence.startswith("nobody:read is not in the table")


def test_everything_without_a_description_is_named() -> None:
    core = build_schema(
        """
        type Query { unheard(id: ID!): Unheard }
        "Signed." type Unheard { number: String }
        "How it ended." enum End { EXPIRED }
        "What signing takes." input SignUnheardInput { at: String }
        """
    )
    named = {sentence.partition(" ")[0] for sentence in owed.descriptions_owed(core)}
    assert named == {
        "Query",
        "Query.unheard",
        "Query.unheard(id:)",
        "Unheard.number",
        "End.EXPIRED",
        "SignUnheardInput.at",
    }
