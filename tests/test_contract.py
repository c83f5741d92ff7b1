"""The documents agree with the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import tournee.app  # noqa: F401 - so that every refusal is defined
from tournee.api import filters, limits
from tournee.api.schema import schema
from tournee.auth.roles import Role, permissions_of
from tournee.kernel.actor import Permission
from tournee.kernel.errors import refusal_codes
from tournee.sync.pull.feed import Feed
from tournee.sync.push import push

ROOT = Path(__file__).parent.parent


def test_every_refusal_is_documented_with_the_clients_reaction() -> None:
    text = (ROOT / "schema" / "refusals.md").read_text().split("\n## ")[0]
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE))
    assert documented == set(refusal_codes())
    assert documented == set(schema()._schema.type_map["RefusalCode"].values)  # type: ignore[attr-defined]


def test_every_code_of_the_api_is_documented() -> None:
    text = (ROOT / "schema" / "refusals.md").read_text()
    documented = set(re.findall(r"`([A-Z_]{4,})`", text))
    sources = [file.read_text() for file in (ROOT / "server" / "tournee" / "api").glob("*.py")]
    calls = r'(?:coded|BadRequest)\([^()]*?"([A-Z_]{4,})"|code(?:": | = )"([A-Z_]{4,})"|return "([A-Z_]+)"'
    used = {name for source in sources for found in re.findall(calls, source) for name in found if name}
    assert {"LIMIT_EXCEEDED", "GRAPHQL_PARSE_FAILED", "NOT_ACCEPTABLE", "INTROSPECTION_OFF"} <= used
    assert used <= documented, used - documented


def test_the_limits_of_a_document_are_documented() -> None:
    text = (ROOT / "schema" / "refusals.md").read_text().replace("\n", " ")
    for most, what in (
        (limits.MOST_CHARACTERS, "characters"), (limits.MOST_TOKENS, "tokens of document"),
        (limits.MOST_FIELDS, "fields"),
        (limits.MOST_NESTING, "levels of nesting"), (limits.MOST_ALIASES, "aliases"),
        (limits.MOST_DIRECTIVES, "directives"), (limits.MOST_VARIABLES, "variables"),
        (limits.MOST_VALUES, "values"), (filters.MOST_CONDITIONS, "conditions"),
    ):  # fmt: skip
        assert f"{most:,} {what}" in text, what
    assert limits.MOST_BYTES == 1024 * 1024
    assert f"{limits.MOST_DEPTH} levels of depth" in text


def test_the_table_of_permissions_equals_the_code() -> None:
    rows = re.findall(r"^\| (?!---)(.+) \|$", (ROOT / "schema" / "permissions.md").read_text(), re.MULTILINE)
    heads, *table = [[cell.strip() for cell in row.split(" | ")] for row in rows]
    shown = {"portal": Role.CUSTOMER_PORTAL}
    roles = [shown.get(name) or Role(name.upper()) for name in heads[2:]]
    assert set(roles) == set(Role)
    told = {
        cells[0].strip("`"): (cells[1], {role for role, cell in zip(roles, cells[2:], strict=True) if cell})
        for cells in table
    }
    assert told == {
        name: (declared.description, {role for role in Role if declared in permissions_of(role)})
        for name, declared in Permission.declared.items()
    }


def test_one_function_performs_the_steps_of_a_push_and_one_those_of_a_pull() -> None:
    protocol = (ROOT / "schema" / "sync.md").read_text()
    for section, function in {"Push": push._attempt, "Pull": Feed._read}.items():
        text = protocol.split(f"## {section}\n")[1].split("\n## ")[0]
        steps = re.findall(r"^(\d\. )\*\*(\w+\.)", text, re.MULTILINE)
        code = inspect.getsource(function)
        assert re.findall(r"(\d\. )(\w+\.)", code) == steps
        assert len(code.splitlines()) <= 40


_STEPS = {
    "Checking": ["sync/pull/checksums", "sync/http/checking"],
    "Removals in two steps": ["sync/pull/removals"],
    "Conflicts": ["kernel/transaction", "conflicts/table", "conflicts/commands"],
    "Revoking a device": ["auth/commands", "auth/revoked", "sync/devices/surrender"],
}


def test_every_numbered_step_of_the_protocol_is_marked_in_the_code() -> None:
    protocol = (ROOT / "schema" / "sync.md").read_text()
    for section, modules in _STEPS.items():
        text = protocol.split(f"## {section}\n")[1].split("\n## ")[0]
        steps = re.findall(r"^(\d)\. \*\*", text, re.MULTILINE)
        files = [ROOT / "server" / "tournee" / f"{module}.py" for module in modules]
        code = "".join(file.read_text() for file in files)
        assert steps == sorted(set(re.findall(r"(?:\"\"\"|# )(\d)\. ", code)))
