"""Valid inputs for any command, generated from its types."""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import UUID, uuid4

from graphql import GraphQLEnumType, get_named_type

from tests.support.ask import answer
from tests.support.house import House
from tournee.api.schema import schema
from tournee.kernel.command import Command
from tournee.kernel.registry import BY_TABLE

# Id fields of inputs whose names are not `<table>Id`.
_ALSO = {
    "run_id": "ChecklistRun",
    "version_id": "ChecklistVersion",
    "template_id": "ChecklistTemplate",
    "standard_id": "QualityStandard",
    "clause_id": "StandardClause",
    "finding_id": "AuditFinding",
    "holder_technician_id": "Technician",
    "billing_customer_id": "Customer",
    "lead_auditor_id": "Account",
    "auditee_responsible_id": "Account",
    "to_technician_id": "Technician",
    "from_technician_id": "Technician",
    "checklist_version_id": "ChecklistVersion",
    "standard_clause_id": "StandardClause",
}


def entity_of(command: Command[Any, Any], name: str) -> str | None:
    if name in ("parent_id", "corrects_id"):
        return command.output.__name__
    if name == "corrects":
        return command.output.__name__
    table = name.removesuffix("_id").removesuffix("_ids")
    if table in BY_TABLE:
        return BY_TABLE[table].__name__
    return _ALSO.get(name)


def is_id(annotation: Any) -> bool:
    return "uuid.UUID" in str(annotation) or annotation is UUID


def required(command: Command[Any, Any], name: str) -> bool:
    one = next(one for one in dataclasses.fields(command.input) if one.name == name)
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def value(annotation: Any, id: UUID) -> Any:
    return [str(id)] if "list[" in str(annotation) else str(id)


async def outcome(house: House, command: Command[Any, Any], given: dict[str, Any]) -> tuple[Any, ...]:
    """Return the result of a command with these ids and plausible other inputs."""
    name = command.name[0].upper() + command.name[1:]
    kind: Any = schema()._schema.type_map[f"{command.input.__name__}Input"]
    filled = {**plausible(kind), **given}
    document = (
        f"mutation($input:{kind.name}!){{{command.name}(input:$input)"
        f"{{__typename ...on Refusal{{code message field}} }}}}"
    )
    found = await answer(house, document, input=filled)
    assert not found.errors, (name, filled, found.errors)
    done = found.data[command.name]
    return done.get("code"), done.get("message"), done.get("field"), done["__typename"]


def plausible(kind: Any) -> dict[str, Any]:
    """Return a value for each required field of an input type."""
    return {name: _one(one.type) for name, one in kind.fields.items() if str(one.type).endswith("!")}


def _one(kind: Any) -> Any:
    text = str(kind).rstrip("!")
    if text.startswith("["):
        return []
    named: Any = get_named_type(kind)
    if isinstance(named, GraphQLEnumType):
        return next(iter(named.values))
    if hasattr(named, "fields"):
        return plausible(named)
    times = {"DateTime": "2026-11-23T09:00:00Z", "Date": "2026-11-23"}
    plain = {"String": "Demo", "Int": 1, "Float": 1.5, "Boolean": True, "ID": str(uuid4()), "JSON": {}}
    return {**times, **plain}[named.name]
