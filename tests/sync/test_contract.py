"""The contract that a client downloads equals what the server then does."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx2
import pytest
from starlette.applications import Starlette

from tests.support.ask import ask
from tests.support.house import House
from tests.support.refusals import refusal
from tournee.api.schema import sdl
from tournee.catalogue import COMMANDS, ENTITIES, sync_contract
from tournee.kernel.actor import Actor
from tournee.kernel.conflict import ConflictKind
from tournee.kernel.fields import NOT_EDITABLE, Merge, fields
from tournee.kernel.inputs import _adapter
from tournee.kernel.registry import BY_NAME, registered
from tournee.sync.contract import HORIZON_DAYS
from tournee.sync.http.contract_route import wire_form

CONTRACT = sync_contract(HORIZON_DAYS)
FIELD = "{name type isList nullable merge editable values maxLength minimum maximum references description}"
INPUT = "{name type isList required nullable values maxLength minimum maximum object}"
WHOLE = f"""{{syncContract{{protocol operationSchema horizonDays operationsLimit pageLimit
  entities{{name scope description fields{FIELD}}}
  commands{{name scope offline fact unit record description input{INPUT}}}
  objects{{name fields{INPUT}}}
  conflicts{{kind resolutions}}
}}}}"""


def test_the_schema_prints_every_fields_policy() -> None:
    text = sdl()
    for name, entity in ENTITIES.items():
        body = text.split(f"\ntype {name} implements Node {{")[1].split("\n}")[0]
        printed = dict(re.findall(r"^  (\w+): [^\n]*@merge\(policy: (\w+)\)$", body, re.MULTILINE))
        assert printed == {one.wire: one.merge.value for one in fields(entity)}, name


async def test_graphql_and_json_give_the_same_contract(
    house: House, client: httpx2.AsyncClient, bearer: Callable[[Actor], dict[str, str]], app: Starlette
) -> None:
    there = await House(app.state.kernel.database).found()
    headers = bearer(await there.account("TECHNICIAN"))
    served = await client.get("/sync/contract", headers=headers)
    assert (served.status_code, served.headers["content-type"]) == (200, "application/json")
    asked = await ask(house, WHOLE, "TECHNICIAN")
    assert served.json() == asked["syncContract"] == wire_form(CONTRACT)
    assert len(asked["syncContract"]["entities"]) == len(ENTITIES)


async def test_an_unchanged_contract_is_not_sent_again_and_needs_a_sign_in(
    client: httpx2.AsyncClient, bearer: Callable[[Actor], dict[str, str]], app: Starlette
) -> None:
    headers = bearer(await (await House(app.state.kernel.database).found()).account())
    tag = (await client.get("/sync/contract", headers=headers)).headers["etag"]
    again = await client.get("/sync/contract", headers={**headers, "If-None-Match": f'"x", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = await client.get("/sync/contract", headers={**headers, "If-None-Match": '"x"'})
    assert other.status_code == 200
    assert refusal(await client.get("/sync/contract")) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_refuse_exactly_the_missing_required_inputs(name: str) -> None:
    (told,) = [command for command in CONTRACT.commands if command.name == name]
    # The checks before a command runs, as the validating library lists them.
    checked = _adapter(COMMANDS[name].input).json_schema()
    assert [one.name for one in told.input] == list(checked["properties"])
    assert [one.name for one in told.input if one.required] == checked.get("required", [])
    assert (told.offline, told.fact, told.unit) == (
        COMMANDS[name].offline,
        COMMANDS[name].fact,
        COMMANDS[name].offline,
    )


def test_an_update_accepts_exactly_the_editable_fields_of_the_contract() -> None:
    seen = 0
    for entity in CONTRACT.entities:
        for one in entity.fields:
            assert not (one.editable and one.merge in NOT_EDITABLE), f"{entity.name}.{one.name}"
            seen += one.editable
        update = registered(BY_NAME[entity.name]).update
        edit = next((one for one in CONTRACT.commands if update and one.name == update.name), None)
        taken = {one.name for one in edit.input} if edit else set()
        assert {one.name for one in entity.fields if one.editable} <= taken
    assert seen > 100


def test_the_contract_lists_every_kind_of_conflict_with_its_decisions() -> None:
    told = {one.kind: set(one.resolutions) for one in CONTRACT.conflicts}
    assert told == {kind: set(kind.resolutions) for kind in ConflictKind.all()}


def test_the_contract_lists_limits_enums_objects_and_references() -> None:
    site = {one.name: one for one in next(e for e in CONTRACT.entities if e.name == "Site").fields}
    assert (site["name"].max_length, site["latitude"].minimum, site["latitude"].maximum) == (200, -90, 90)
    assert (site["customerId"].references, site["externalKey"].merge) == ("Customer", Merge.FIRST_WINS)
    complete = next(c for c in CONTRACT.commands if c.name == "completeAppointment")
    (outcome,) = [one for one in complete.input if one.name == "outcome"]
    assert (outcome.values, outcome.required) == (["DONE", "PARTIAL"], False)
    named = {one.object for c in CONTRACT.commands for one in c.input if one.object}
    assert named
    assert named <= {one.name for one in CONTRACT.objects}
