"""Bad input gets a clear error with a code, never a crash, and leaves nothing half-written."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from tests.support.desk import Bearer, Desk, code
from tests.support.house import House
from tests.support.tokens import forge, raw
from tournee.catalogue import COMMANDS
from tournee.kernel.actor import Actor
from tournee.kernel.entity import new_id, now
from tournee.kernel.fields import camel

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

BODIES: dict[str, bytes] = {
    "empty": b"",
    "cut off": b'{"device": "',
    "no JSON": b"device=1&operations=2",
    "not UTF-8": b'{"device": "\xff\xfe"}',
    "UTF-16": '{"device": "x"}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf[]",
    "null": b"null",
    "a list": b"[]",
    "a number": b"7",
    "a text": b'"device"',
    "not a number": b'{"device": NaN, "operations": []}',
    "a lone surrogate": b'{"device": "\\ud800", "operations": []}',
    "brackets": b"[" * 100_000,
    "closed brackets": b"[" * 100_000 + b"]" * 100_000,
    "braces": b'{"operations":' * 100_000,
    "deep operations": b'{"device":"x","operations":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a huge number": b'{"device":' + b"9" * 100_000 + b"}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_an_invalid_body_is_refused_as_a_whole(desk: Desk, body: bytes) -> None:
    before = await desk.house.seq()
    assert code(await desk.send(body)) == (400, "INVALID")
    assert await desk.house.seq() == before


WEIRD: list[Any] = [
    None,
    True,
    0,
    -1,
    2**31,
    2**70,
    1.5,
    1e308,
    "",
    "x",
    "\x00",
    "é" * 5000,
    [],
    [[]],
    {},
    {"": 1},
]


@pytest.mark.parametrize("value", WEIRD, ids=range(len(WEIRD)))
async def test_a_wrong_envelope_is_refused_and_a_wrong_report_is_ignored(desk: Desk, value: Any) -> None:
    before = await desk.house.seq()
    for wrong in ({"device": value}, {"operations": value}):
        body = {"device": desk.device, "operations": [desk.operation()]} | wrong
        if isinstance(value, list) and "operations" in wrong:
            continue
        answer = await desk.send(json.dumps(body))
        assert code(answer) == (400, "INVALID")
        assert answer.json()["error"]["field"] == next(iter(wrong))
    assert await desk.house.seq() == before
    # With a newer schema version, the operations would stay on the device.
    schema = 1 if type(value) is int and value > 1 else value
    await desk.push(desk.operation(), app=value, schema=schema, more=value)
    assert await desk.house.seq() == before + 1


async def test_a_body_over_the_limit_is_refused(desk: Desk) -> None:
    before = await desk.house.seq()
    ten_megabytes = b" " * 10_000_000
    assert code(await desk.send(ten_megabytes)) == (413, "TOO_LARGE")
    body = json.dumps({"device": desk.device, "operations": [desk.operation()] * 1001})
    assert code(await desk.send(body)) == (400, "INVALID")
    (outcome,) = await desk.push(desk.operation(input={"name": "x" * 7_000_000}))
    assert (outcome["status"], outcome["code"], outcome["fields"]) == ("rejected", "INVALID", ["name"])
    # It leaves only its entry in the inbox.
    assert outcome["conflict"]
    assert await desk.house.seq() == before + 1


TIMES: list[Any] = [
    None, 0, 1764000000, 1e300, True, "", "now", "2026-11-23", "2026-11-23T09:12:00", "2026-13-01T00:00:00Z",
    "0000-01-01T00:00:00Z", "99999-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00", "2026-11-23T09:12:00+99:00", "2026-11-23T25:00:00Z", [], {},
    "2026-11-23T09:12:00Z\x00",
]  # fmt: skip
NUMBERS: list[Any] = [
    None, ..., 0, -1, 2**53, 2**63, 2**64, 2**70, -(2**70), 1.5, 1e300, "1", True, [], {},
]  # fmt: skip
BAD: dict[str, list[Any]] = {
    "id": [None, ..., "", "x", 1, 2**70, True, [], {}, "\x00" * 36, "z" * 36, "0" * 100_000],
    "number": NUMBERS,
    "unit": ["", "x", 1, True, [], {}, "\x00"],
    "command": [None, ..., "", 7, True, [], {}, "launchRocket", "createCustomer\x00", "é" * 5000, "__a__"],
    "base": [-1, -(2**31), 2**53, 2**63, 2**70, -(2**70), 1.5, "1", True, [], {}],
    "occurredAt": [..., *TIMES],
    "input": [
        None, 7, "x", True, [], {}, {"name": 7}, {"name": None}, {"name": "\x00"}, {"name": "a\x00b"},
        {"name": "x" * 201}, {"nam": "x"}, {"name": "x", "id": 7}, {"name": "x", "tags": [1]}, {"name": []},
        {"name": "x", "organisationId": str(uuid4())}, {"name": "x", "deleted": True}, {"name": {"$ne": 1}},
        {"name": "x", "tags": ["\x00"]}, {"name": "x", "tags": ["x"] * 2001}, {"name": "x", "kind": "ROCKET"},
        {"name": "x", "": 1}, {"name": "x", "\x00": 1}, {"name": "x", "parentId": str(uuid4())},
    ],
    "surplus": [1],
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_a_malformed_operation_is_rejected_alone(desk: Desk, name: str) -> None:
    """The good operations around it apply, and its outcome names the wrong field."""
    codes = {"INVALID", "UNKNOWN_COMMAND", "NOT_FOUND"}
    for value in BAD[name]:
        before = await desk.house.seq()
        first, wrong, last = desk.operation(), desk.operation(**{name: value}), desk.operation()
        if name == "number":
            # Its number cannot be read.
            desk.number = last["number"] = first["number"] + 1
        outcomes = await desk.push(first, wrong, last)
        assert [outcomes[0]["status"], outcomes[2]["status"]] == ["applied", "applied"], (value, outcomes)
        assert outcomes[1]["status"] == "rejected", (value, outcomes[1])
        assert outcomes[1]["code"] in codes, (value, outcomes[1])
        assert outcomes[1]["message"]
        assert outcomes[1]["record"] is None
        told = outcomes[1]["conflict"] is not None
        assert await desk.house.seq() == before + 2 + told
    assert await desk.customers() == 2 * len(BAD[name])


async def test_a_refused_operation_uses_up_its_number(desk: Desk) -> None:
    await desk.push(desk.operation())
    malformed = (desk.operation(occurredAt="now"), desk.operation(unit=7), desk.operation(command=None))
    outcomes = await desk.push(*malformed)
    assert {one["status"] for one in outcomes} == {"rejected"}
    assert (await desk.push(desk.operation()))[0]["status"] == "applied"


@pytest.mark.parametrize("malformed", [{"occurredAt": "now"}, {"command": None}, {"base": -1}], ids=str)
async def test_a_malformed_operation_fails_its_whole_unit(desk: Desk, malformed: dict[str, Any]) -> None:
    unit, other = str(new_id()), str(new_id())
    batch = [
        desk.operation(unit=unit),
        desk.operation(unit=unit, **malformed),
        desk.operation(unit=unit),
        desk.operation(unit=other),
    ]
    for status in ("applied", "duplicate"):
        outcomes = await desk.push(*batch)
        assert [one["code"] for one in outcomes] == ["UNIT_REFUSED", "INVALID", "UNIT_REFUSED", None]
        assert outcomes[-1]["status"] == status
    assert (await desk.push(desk.operation()))[0]["status"] == "applied"
    assert await desk.customers() == 2


async def test_a_device_can_declare_a_number_unused(desk: Desk) -> None:
    await desk.push(desk.operation())
    lost = desk.operation()
    # A malformed operation beyond a gap does not use up its number.
    await desk.push(desk.operation(occurredAt="now"))
    last = desk.operation()
    assert (await desk.push(last))[0]["status"] == "parked"
    for number in (lost["number"], last["number"] - 1):
        outcome = (await desk.push({"number": number}))[0]
        assert (outcome["status"], outcome["code"]) == ("rejected", "INVALID")
    assert (await desk.push(last))[0]["status"] == "duplicate"
    assert await desk.customers() == 2


async def test_both_numbers_of_a_repeated_operation_are_used_up(desk: Desk) -> None:
    one = desk.operation()
    again = one | {"number": desk.operation()["number"]}
    outcomes = await desk.push(one, again)
    assert [outcome["status"] for outcome in outcomes] == ["applied", "applied"]
    assert (await desk.push(desk.operation()))[0]["status"] == "applied"
    assert await desk.customers() == 2


@pytest.mark.parametrize("depth", [10, 60, 200, 300, 900])
async def test_too_deep_nesting_rejects_only_its_operation(desk: Desk, depth: int) -> None:
    deep: Any = "x"
    for _ in range(depth):
        deep = {"deep": deep}
    wrong = [
        desk.operation(input={"name": "Demo", "tags": deep}),
        desk.operation(command="createAsset", input={"name": "Demo", "specification": deep}),
        desk.operation(input=deep),
        desk.operation(unit=deep),
    ]
    good = desk.operation()
    for status in ("applied", "duplicate"):
        outcomes = await desk.push(*wrong, good, *wrong)
        assert [one["status"] for one in outcomes] == ["rejected"] * 4 + [status] + ["rejected"] * 4
        assert {one["code"] for one in outcomes} == {"INVALID", None}
    assert await desk.customers() == 1


async def test_the_last_of_duplicate_keys_counts(desk: Desk) -> None:
    operation = json.dumps(desk.operation())
    doubled = operation[:-1] + ', "input": {"name": "First", "name": "Last"}}'
    answer = await desk.send(f'{{"device": 5, "device": "{desk.device}", "operations": [{doubled}]}}')
    assert answer.json()["outcomes"][0]["record"]["name"] == "Last"
    assert await desk.customers() == 1


async def test_a_unit_with_another_operation_in_between_is_two_units(desk: Desk) -> None:
    unit = str(new_id())
    one, between, bad = desk.operation(unit=unit), desk.operation(), desk.operation(unit=unit, input={})
    outcomes = await desk.push(one, between, bad)
    assert [outcome["status"] for outcome in outcomes] == ["applied", "applied", "rejected"]
    first, second = desk.operation(unit=unit), desk.operation(unit=unit, input={})
    outcomes = await desk.push(second, first)
    assert [outcome["code"] for outcome in outcomes] == ["INVALID", "UNIT_REFUSED"]
    outcomes = await desk.push(first, second)
    assert [outcome["code"] for outcome in outcomes] == ["UNIT_REFUSED", "INVALID"]
    assert await desk.customers() == 2


async def test_a_unit_named_like_an_operation_does_not_include_it(desk: Desk) -> None:
    """An operation without a unit does not belong to a unit whose id equals its own."""
    alone = desk.operation()
    imposter = desk.operation(unit=alone["id"], input={})
    outcomes = await desk.push(alone, imposter)
    assert [outcome["status"] for outcome in outcomes] == ["applied", "rejected"]


async def test_another_accounts_device_is_refused(desk: Desk, bearer: Bearer) -> None:
    await desk.push(desk.operation())
    before = await desk.house.seq()
    other = Desk(desk.house, desk.client, bearer(await desk.house.account("DISPATCHER")), desk.device)
    body = json.dumps({"device": desk.device, "operations": [other.operation()]})
    before = await desk.house.seq()
    assert code(await other.send(body)) == (403, "DEVICE_MISMATCH")
    tied = await desk.house.account("MANAGER")
    await desk.house.run("enrolDevice", tied, id=new_id(), name="Demo tablet")
    assert await desk.house.seq() == before + 2
    assert await desk.customers() == 1


async def test_another_accounts_enrolled_device_is_refused_everywhere(desk: Desk, bearer: Bearer) -> None:
    owner = await desk.house.account("TECHNICIAN")
    device = await desk.house.run("enrolDevice", owner, id=new_id(), name="Demo tablet")
    before = await desk.house.seq()
    body = json.dumps({"device": str(device.id), "operations": [desk.operation()]})
    assert code(await desk.send(body)) == (403, "DEVICE_MISMATCH")
    for path in ("/sync/pull", "/sync/stream"):
        answer = await desk.client.get(path, params={"device": str(device.id)}, headers=desk.headers)
        assert code(answer) == (403, "DEVICE_MISMATCH")
    assert await desk.house.seq() == before


async def test_reusing_an_id_that_waits_on_another_device_is_refused(desk: Desk, bearer: Bearer) -> None:
    """It must not crash the push or block the other device."""
    victim = Desk(desk.house, desk.client, bearer(await desk.house.account("DISPATCHER")), str(new_id()))
    await victim.push(victim.operation())
    missing, waiting = victim.operation(), victim.operation()
    assert (await victim.push(waiting))[0]["status"] == "parked"
    await desk.push(desk.operation())
    stolen = desk.operation(id=waiting["id"], input={"name": "Stolen"})
    later = desk.operation(id=waiting["id"], number=desk.number + 5)
    for wrong in (stolen, later):
        (outcome,) = await desk.push(wrong)
        assert (outcome["status"], outcome["code"]) == ("rejected", "OPERATION_REUSED")
    assert (await victim.push(missing))[0]["status"] == "applied"
    assert (await victim.push(waiting))[0]["status"] == "duplicate"
    assert (await victim.push(victim.operation()))[0]["status"] == "applied"
    assert await desk.customers() == 5


@pytest.mark.parametrize(
    "limit",
    ["-1", "0", "abc", "1e3", "1.5", " 1", "1" * 31, "0" * 5000 + "1", "1" + "0" * 5000, "٣", "+5", "0x10"],
)
async def test_an_invalid_limit_is_refused(desk: Desk, limit: str) -> None:
    assert code(await desk.pull(limit=limit)) == (400, "INVALID")


async def test_a_large_limit_is_capped(desk: Desk) -> None:
    await desk.push(*(desk.operation() for _ in range(3)))
    for limit in ("1000000", "5001", "0005"):
        assert len((await desk.pull(limit=limit)).json()["changes"]) >= 3


async def test_an_invalid_device_id_is_refused(desk: Desk) -> None:
    for device in ("x", "\x00", "' OR 1=1 --", "é", "1" * 5000):
        for path in ("/sync/pull", "/sync/stream"):
            answer = await desk.client.get(path, params={"device": device}, headers=desk.headers)
            assert code(answer) == (400, "INVALID")


async def test_another_persons_cursor_starts_a_new_copy(desk: Desk, bearer: Bearer) -> None:
    await desk.push(*(desk.operation() for _ in range(3)))
    good = (await desk.pull()).json()["cursor"]
    paged = (await desk.pull(limit=1)).json()["cursor"]
    assert (await desk.pull(cursor=good)).json()["resync"] is False
    bad = [
        "x",
        "é",
        "\x00",
        "=",
        "!" * 40,
        "A" * 60,
        "A" * 5000,
        good[:-4],
        good[4:],
        good + "AAAA",
        good.swapcase(),
    ]
    bad += [
        good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :] for place in range(0, 200, 7)
    ]
    others = [await desk.house.account(role) for role in ("MANAGER", "DISPATCHER", "TECHNICIAN")]
    theirs = House(desk.house.database)
    others.append(await (await theirs.found()).account("MANAGER"))
    for other in others:
        answer = await desk.client.get("/sync/pull", headers=bearer(other))
        bad.append(answer.json()["cursor"])
    resync = {"changes": [], "cursor": None, "more": False, "resync": True}
    for cursor in bad:
        answer = await desk.pull(cursor=cursor)
        assert (answer.status_code, answer.json()) == (200, resync), cursor
    for other in others:
        for cursor in (good, paged):
            answer = await desk.client.get("/sync/pull", params={"cursor": cursor}, headers=bearer(other))
            assert answer.json() == resync
            live = {**bearer(other), "Last-Event-ID": cursor}
            text = (await desk.client.get("/sync/stream", headers=live)).text
            assert text.count("event:") == 1
            assert '"resync":true' in text


ENDPOINTS = [("POST", "/sync/push"), ("GET", "/sync/pull"), ("GET", "/sync/stream"), ("POST", "/graphql")]


def forgeries(app: Starlette, actor: Actor) -> dict[str, str]:
    good = app.state.tokens.issue(actor)
    claims = jwt.decode(good, options={"verify_signature": False})
    kid = app.state.tokens.ring.keys()[0].id
    made = {
        "garbage": "Bearer garbage",
        "nothing": "Bearer ",
        "another scheme": "Basic bWFuYWdlcjpkZW1v",
        "two words": f"Bearer {good} {good}",
        "dots": "Bearer ...",
        "huge": "Bearer " + "A" * 20_000,
        "expired": "Bearer " + forge(app, actor, exp=1_000_000_000),
        "other audience": "Bearer " + forge(app, actor, aud="another"),
        "other issuer": "Bearer " + forge(app, actor, iss="another"),
        "other key": "Bearer " + forge(app, actor, key=Ed25519PrivateKey.generate()),
        "not yet": "Bearer " + forge(app, actor, nbf=now() + timedelta(days=1)),
        "no expiry": "Bearer " + forge(app, actor, exp=None),
        "cut": f"Bearer {good[:-6]}",
        "another role": "Bearer " + forge(app, actor, role="TECHNICIAN"),
        "nobody": "Bearer " + forge(app, actor, sub=str(uuid4())),
        "an unknown device": "Bearer " + forge(app, actor, device=str(uuid4())),
    }
    for algorithm in ("none", "None", "NONE", ""):
        header = {"alg": algorithm, "typ": "at+jwt", "kid": kid}
        made[f"alg {algorithm!r}"] = "Bearer " + raw(header, claims)
    made["symmetric"] = "Bearer " + jwt.encode(
        claims, "k" * 64, "HS256", headers={"kid": kid, "typ": "at+jwt"}
    )
    return made


async def test_without_a_valid_token_nothing_is_answered_or_written(
    app: Starlette, desk: Desk, house: House
) -> None:
    tokens: dict[str, str | None] = {"none at all": None, **forgeries(app, await house.account("MANAGER"))}
    before = await desk.house.seq()
    bodies = {
        "/sync/push": {"device": desk.device, "operations": [desk.operation()]},
        "/graphql": {"query": 'mutation{createCustomer(input:{name:"Demo"}){__typename}}'},
    }
    for name, token in tokens.items():
        for method, path in ENDPOINTS:
            headers = {} if token is None else {"Authorization": token}
            answer = await desk.client.request(method, path, json=bodies.get(path), headers=headers)
            # The device in this token is not enrolled: it must erase its copy.
            expected = 403 if name == "an unknown device" else 401
            assert answer.status_code == expected, (name, path, answer.text)
            body = answer.json()
            error = body["error"] if "error" in body else body["errors"][0]["extensions"]
            assert error["code"] in {"UNAUTHENTICATED", "TOKEN_INVALID", "TOKEN_EXPIRED", "DEVICE_REVOKED"}, (
                name
            )
            assert expected == 403 or answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert await desk.house.seq() == before
    assert await desk.customers() == 0


GRAPHQL: list[dict[str, Any]] = [
    {"query": '{customers(filter:{name:{eq:"\\u0000"}}){totalCount}}'},
    {"query": "query($a:String){customers(filter:{name:{eq:$a}}){totalCount}}", "variables": {"a": "\x00"}},
    {"query": "query($a:String){customers(filter:{name:{eq:$a}}){totalCount}}", "variables": {"a": "\ud800"}},
    {"query": 'mutation{createCustomer(input:{name:"\\u0000"}){...on Refusal{code}}}'},
    {
        "query": "mutation($a:String!){createCustomer(input:{name:$a}){...on Refusal{code}}}",
        "variables": {"a": "\ud800"},
    },
    {"query": "{customers(first: 99999999999){totalCount}}"},
    {"query": "{customers(first: -1){totalCount}}"},
    {"query": '{customers(after: "x"){totalCount}}'},
    {"query": '{customers(after: "\\u0000"){totalCount}}'},
    {"query": '{customer(id: "x"){id}}'},
    {"query": '{node(id: "\\u0000"){id}}'},
    {"query": '{appointments(filter:{startsAt:{gte:"0001-01-01T00:00:00+14:00"}}){totalCount}}'},
    {"query": '{appointments(filter:{startsAt:{gte:"9999-12-31T23:59:59-14:00"}}){totalCount}}'},
    {"query": '{appointments(filter:{startsAt:{gte:"99999-01-01T00:00:00Z"}}){totalCount}}'},
    {"query": '{customers(filter:{name:{in:["' + '","'.join(["x"] * 900) + '"]}}){totalCount}}'},
    {"query": '{changes(since: "x"){totalCount}}'},
    {"query": "{changes(filter:{seq:{gt:99999999999999999999999}}){totalCount}}"},
]


@pytest.mark.parametrize("request_", GRAPHQL, ids=range(len(GRAPHQL)))
async def test_bad_values_in_graphql_never_crash(desk: Desk, request_: dict[str, Any]) -> None:
    content = json.dumps(request_)
    before = await desk.house.seq()
    headers = {**desk.headers, "Content-Type": "application/json"}
    answer = await desk.client.post("/graphql", content=content, headers=headers)
    assert answer.status_code < 500, answer.text
    for error in answer.json().get("errors", []):
        assert error["extensions"]["code"] != "INTERNAL", error
    assert await desk.house.seq() == before


async def test_extreme_numbers_and_times_never_crash(desk: Desk) -> None:
    """The largest numbers and times are accepted or refused, never crash, and can be pulled."""
    house = desk.house
    customer = await house.run("createCustomer", name="Demo")
    site = await house.run("createSite", customerId=customer.id, name="Demo")
    asset = await house.run("createAsset", name="Demo", siteId=site.id)
    meter = await house.run("createMeter", assetId=asset.id, name="Demo", unit="h")
    ends = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
    readings = [
        desk.operation(
            command="recordReading", input={"meterId": str(meter.id), "value": value, "takenAt": at}
        )
        for value in (1e308, -1e308, 5e-324, 0.0)
        for at in ends
    ]
    order = await house.run("createWorkOrder", customerId=customer.id, siteId=site.id, summary="Demo")
    account = await house.account("TECHNICIAN")
    technician = await house.run("createTechnician", name="Demo", accountId=account.id)
    visit = await house.run("createAppointment", workOrderId=order.id)
    await house.run(
        "scheduleAppointment", appointmentId=visit.id, startsAt=now(), endsAt=now() + timedelta(hours=1)
    )
    await house.run("assignTechnician", appointmentId=visit.id, technicianId=technician.id)
    await house.run("dispatchAppointment", appointmentId=visit.id)
    steps = [
        desk.operation(
            command=command, base=await desk.house.seq(), input={"appointmentId": str(visit.id), "at": at}
        )
        for command, at in zip(
            ("acceptAppointment", "startTravel", "arriveOnSite", "startWork", "completeAppointment"),
            (ends[0], ends[0], ends[1], ends[0], ends[1]),
            strict=True,
        )
    ]
    time = {"kind": "WORK", "startsAt": ends[0], "endsAt": ends[1], "workOrderId": str(order.id)}
    outcomes = await desk.push(*readings, *steps, desk.operation(command="recordTimeEntry", input=time))
    assert {outcome["status"] for outcome in outcomes} <= {"applied", "merged", "rejected"}, outcomes
    page = (await desk.pull()).json()
    assert {UUID(change["id"]) for change in page["changes"]} >= {visit.id, meter.id}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
OFFLINE = sorted(name for name, command in COMMANDS.items() if command.offline)


@st.composite
def an_operation(draw: st.DrawFn) -> dict[str, Any]:
    """Return an operation of any command with random input, often under the right names."""
    name = draw(st.sampled_from(OFFLINE))
    fields = [camel(one.name) for one in dataclasses.fields(COMMANDS[name].input)]
    likely = st.sampled_from(
        [
            str(uuid4()),
            "2026-11-23T09:12:00Z",
            "0001-01-01T00:00:00Z",
            "Demo",
            0,
            1,
            -1,
            1.5,
            2**31,
            True,
            [],
            {},
            None,
        ]
    )
    input = draw(st.dictionaries(st.sampled_from(fields), likely | JSON, max_size=len(fields)))
    made: dict[str, Any] = {
        "id": str(new_id()),
        "command": name,
        "input": input,
        "occurredAt": "2026-11-23T09:12:00Z",
    }
    for key in draw(
        st.lists(
            st.sampled_from(["id", "number", "unit", "command", "base", "occurredAt", "input"]), max_size=1
        )
    ):
        made[key] = draw(JSON)
    return made


@pytest.mark.slow("Hypothesis makes hundreds of pushes.")
@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(operations=st.lists(an_operation(), min_size=1, max_size=6))
async def test_no_json_crashes_a_push(desk: Desk, operations: list[dict[str, Any]]) -> None:
    before = await desk.house.seq()
    for operation in operations:
        desk.number += 1
        operation.setdefault("number", desk.number)
    body = {"device": str(new_id()), "operations": operations}
    answer = await desk.send(json.dumps(body))
    if answer.status_code == 400:
        # NaN, Infinity and lone surrogates are not JSON.
        assert code(answer) == (400, "INVALID")
        assert await desk.house.seq() == before
        return
    outcomes = answer.json()["outcomes"]
    assert len(outcomes) == len(operations)
    assert not [one for one in outcomes if one["code"] == "INTERNAL"], (operations, outcomes)
    if not {one["status"] for one in outcomes} & {"applied", "merged", "superseded"}:
        assert await desk.house.seq() == before + len({one["conflict"] for one in outcomes} - {None})
