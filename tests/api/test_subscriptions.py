"""Subscriptions over real sockets: missed changes first, live ones after, nothing lost or leaked."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.ask import answer, ask, give_scope
from tests.support.house import House
from tests.support.serving import Door, door, served
from tests.support.sockets import CHANGES, change, connected, hear, say, settle, subscribe, waking
from tournee.api import documents, sockets

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def test_missed_changes_come_first_and_live_ones_after(house: House) -> None:
    await house.run("createCustomer", name="Demo 0")
    since = await settle(house)
    missed = [await house.run("createCustomer", name=f"Demo {number}") for number in range(1, 4)]
    async with waking(house) as wake, served(door(house, wake)) as address, connected(address) as socket:
        await subscribe(socket, since=since)
        found = [await change(socket) for _ in missed]
        assert [one["recordId"] for one in found] == [str(one.id) for one in missed]
        live = await house.run("updateCustomer", customerId=missed[0].id, phone="1")
        last = await change(socket)
        assert (last["recordId"], last["command"], last["record"]["phone"]) == (
            str(live.id),
            "updateCustomer",
            "1",
        )
        assert [one["seq"] for one in [*found, last]] == list(range(found[0]["seq"], found[0]["seq"] + 4))


async def test_a_subscription_resumes_after_any_of_its_cursors(house: House) -> None:
    await house.run("createCustomer", name="Demo")
    start = await settle(house)
    for number in range(5):
        await house.run("createCustomer", name=f"Demo {number}")
    async with served(door(house)) as address:
        async with connected(address) as socket:
            await subscribe(socket, since=start)
            found = [await change(socket) for _ in range(5)]
        for place, one in enumerate(found[:-1]):
            async with connected(address) as socket:
                await subscribe(socket, since=one["cursor"])
                assert (await change(socket))["seq"] == found[place + 1]["seq"]


async def test_without_since_only_later_changes_are_sent(house: House) -> None:
    await house.run("createCustomer", name="Before")
    async with waking(house) as wake, served(door(house, wake)) as address, connected(address) as socket:
        await subscribe(socket, entities=["Site"])
        await say(socket, type="subscribe", id="2", payload={"query": "{me{role}}"})
        while (await hear(socket))["type"] != "complete":
            pass
        await asyncio.sleep(0.1)
        customer = await house.run("createCustomer", name="After")
        site = await house.run("createSite", customerId=customer.id, name="Harbour")
        assert (await change(socket))["recordId"] == str(site.id)


async def test_a_technician_receives_visible_changes_and_removals(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo")
    site = await house.run("createSite", customerId=customer.id, name="Harbour")
    since = await settle(house)
    await give_scope(house, house.actor("TECHNICIAN"), site.id)
    async with (
        waking(house) as wake,
        served(door(house, wake)) as address,
        connected(address, "technician") as socket,
    ):
        await subscribe(socket, since=since)
        await house.run("updateCustomer", customerId=customer.id, phone="1")
        await house.run("updateSite", siteId=site.id, name="Quay")
        told = await change(socket)
        assert (told["entity"], told["record"]["name"], told["command"]) == ("Site", "Quay", None)
        async with connected(address, "technician") as again:
            await subscribe(again, since=told["cursor"])
            await house.run("updateSite", siteId=site.id, name="Pier")
            assert (await change(again))["record"]["name"] == "Pier"


async def test_another_organisations_cursor_asks_for_a_resync(house: House) -> None:
    other = await House(house.database).found()
    await other.run("createCustomer", name="Theirs")
    theirs = await settle(other)
    for role in ("manager", "technician"):
        async with served(door(house)) as address, connected(address, role) as socket:
            for number, (since, code) in enumerate(((theirs, "RESYNC"), ("nonsense", "INVALID_CURSOR"))):
                await subscribe(socket, str(number), since=since)
                message = await hear(socket)
                errors = message["payload"]["errors"] if message["type"] == "next" else message["payload"]
                assert errors[0]["extensions"]["code"] == code
                if message["type"] == "next":
                    assert (await hear(socket))["type"] == "complete"


async def test_the_log_hides_changes_that_the_role_may_not_read(house: House) -> None:
    account = {"email": f"{house.organisation_id}@demo.example", "name": "Demo", "role": "MANAGER"}
    await house.run("createAccount", password="a long demo password", **account)
    manager = await ask(house, '{changes(filter:{entity:{eq:"Account"}}){totalCount nodes{after}}}')
    assert manager["changes"]["totalCount"] == 1
    assert "long demo password" not in str(manager)
    for role in ("DISPATCHER", "TECHNICIAN"):
        found = await ask(house, "{changes{totalCount}}", role)
        assert found["changes"]["totalCount"] == 0


GARBAGE = [
    "[]", "null", "5", '"x"', "{", "{}", '{"type":5}', '{"type":"nothing"}', '{"type":"subscribe"}',
    '{"type":"subscribe","id":"1","payload":[]}', '{"type":"subscribe","id":"1","payload":{"query":5}}',
    '{"type":"subscribe","id":1,"payload":{"query":"{me{id}}"}}', '{"type":"complete"}',
    '{"type":"ping","payload":5}', '{"type":"' + "ü" * 5000 + '"}',
    '{"type":"subscribe","id":"' + "a" * 65 + '","payload":{"query":"{me{id}}"}}',
    '{"type":"subscribe","id":"1","payload":{"query":"{me{id}}","variables":[]}}', b"binary",
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_a_malformed_message_closes_with_4400(house: House, garbage: Any) -> None:
    async with served(door(house)) as address, connected(address) as socket:
        await socket.send(garbage)
        with pytest.raises(ConnectionClosed):
            await hear(socket)
        assert socket.close_code == 4400


QUERY = (
    '{"type":"subscribe","id":"1",'
    '"payload":{"query":"query($f:CustomerFilter){customers(filter:$f){nodes{id}}}",'
)
NO_JSON = [
    QUERY + '"variables":{"f":{"name":{"eq":"\\ud800"}}}}}',
    QUERY + '"variables":{"f":{"name":{"eq":NaN}}}}}',
    QUERY + '"variables":{"f":' + "9" * 5000 + "}}}",
    '{"type":"subscribe","id":"\\ud800","payload":{"query":"{me{id}}"}}',
    "[" * 100_000,
    '{"type":"ping"}' + " " * (1024 * 1024),
]


@pytest.mark.parametrize("garbage", NO_JSON, ids=lambda text: text[-40:].strip())
async def test_a_message_is_read_as_strictly_as_a_body(house: House, garbage: str) -> None:
    async with served(door(house)) as address, connected(address) as socket:
        await socket.send(garbage)
        with pytest.raises(ConnectionClosed):
            await hear(socket)
        assert socket.close_code == 4400


async def test_a_refusal_on_a_socket_has_a_code_and_ends_nothing_else(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MOST_OPERATIONS", 1)
    refused = {
        "{": "GRAPHQL_PARSE_FAILED",
        "{" + "a" * 5_000 + "}": "LIMIT_EXCEEDED",
        "{me{id}}" + " " * 30_000: "LIMIT_EXCEEDED",
        "{nothing}": "GRAPHQL_VALIDATION_FAILED",
        "{me{" + "id " * 1001 + "}}": "LIMIT_EXCEEDED",
        "{__schema{queryType{name}}}": "INTROSPECTION_OFF",
        "subscription{nothing}": "GRAPHQL_VALIDATION_FAILED",
        "subscription($since:String){changes(since:$since){seq}}": "GRAPHQL_VALIDATION_FAILED",
    }
    async with served(door(house)) as address, connected(address, "dispatcher") as socket:
        for number, (query, code) in enumerate(refused.items()):
            payload = {"query": query, "variables": {"since": 5}}
            await say(socket, type="subscribe", id=str(number), payload=payload)
            message = await hear(socket)
            found = [error["extensions"]["code"] for error in message["payload"]]
            assert (message["id"], message["type"], found[0]) == (str(number), "error", code)
        await subscribe(socket, id="one")
        await subscribe(socket, id="two")
        message = await hear(socket)
        [error] = message["payload"]
        assert (message["id"], message["type"]) == ("two", "error")
        assert error["extensions"]["code"] == "TOO_MANY_AT_ONCE"
        await say(socket, type="complete", id="one")
        await say(socket, type="subscribe", id="three", payload={"query": "{me{role}}"})
        assert (await hear(socket))["payload"] == {"data": {"me": {"role": "DISPATCHER"}}}


async def test_an_unexpected_error_is_masked_on_a_socket_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the password is demo")

    monkeypatch.setattr(documents.Prepared, "refusals", broken)
    async with served(door(house)) as address, connected(address) as socket:
        await say(socket, type="subscribe", id="1", payload={"query": "{me{role}}"})
        message = await hear(socket)
        [error] = message["payload"]
        assert (message["type"], error["extensions"]["code"]) == ("error", "INTERNAL")
        assert "password" not in str(error)


async def test_an_operation_name_missing_from_the_document_is_refused(house: House) -> None:
    async with served(door(house)) as address:
        async with connected(address) as socket:
            await say(
                socket,
                type="subscribe",
                id="1",
                payload={"query": "query A {me{role}}", "operationName": "B"},
            )
            message = await hear(socket)
            assert message["payload"][0]["extensions"]["code"] == "BAD_REQUEST"
        async with httpx2.AsyncClient() as client:
            headers = {"Authorization": "Bearer manager", "Accept": "text/event-stream"}
            mutation = 'mutation {createCustomer(input: {name: "Demo"}) {__typename}}'
            for params, code in (
                ({"query": "query A {me{role}}", "operationName": "B"}, "BAD_REQUEST"),
                ({"query": mutation}, "METHOD_NOT_ALLOWED"),
            ):
                events = (await client.get(f"http://{address}", params=params, headers=headers)).text
                assert f'"code":"{code}"' in events
    assert (await ask(house, "{customers{totalCount}}"))["customers"]["totalCount"] == 0


async def test_a_socket_without_a_valid_token_is_closed_with_4401(house: House) -> None:
    async with served(door(house)) as address:
        for payload in (None, {}, {"Authorization": "Bearer nobody"}, {"Authorization": 5}, {"headers": 5}):
            async with connected(address, None) as socket:
                await say(socket, type="connection_init", payload=payload)
                with pytest.raises(ConnectionClosed):
                    await hear(socket)
                assert socket.close_code == 4401
        async with connected(address, None) as socket:
            await subscribe(socket)
            with pytest.raises(ConnectionClosed):
                await hear(socket)
            assert socket.close_code == 4401


async def test_the_token_may_be_nested_in_the_payload_or_sent_as_a_header(house: House) -> None:
    async with served(door(house)) as address:
        async with connected(address, headers={"Authorization": "Bearer manager"}):
            pass
        headers = {"Authorization": "Bearer manager"}
        async with connect(
            f"ws://{address}", subprotocols=["graphql-transport-ws"], additional_headers=headers
        ) as socket:  # type: ignore[list-item]
            await say(socket, type="connection_init")
            assert (await hear(socket))["type"] == "connection_ack"


async def test_an_expired_token_closes_the_connection(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "CHECK_SECONDS", 0.05)
    opened: Door = door(house)
    async with served(opened) as address, connected(address) as socket:
        await subscribe(socket)
        opened.tokens.clear()
        with pytest.raises(ConnectionClosed):
            await hear(socket)
        assert socket.close_code == 4401


async def test_a_socket_answers_a_query_and_refuses_a_bad_document(house: House) -> None:
    async with served(door(house)) as address, connected(address) as socket:
        await say(socket, type="subscribe", id="1", payload={"query": "{me{role}}"})
        assert (await hear(socket))["payload"] == {"data": {"me": {"role": "MANAGER"}}}
        assert (await hear(socket))["type"] == "complete"
        for query, code in (("{", "GRAPHQL_PARSE_FAILED"), ("{nothing}", "GRAPHQL_VALIDATION_FAILED")):
            await say(socket, type="subscribe", id="2", payload={"query": query})
            message = await hear(socket)
            assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", code)


async def test_a_second_operation_on_a_socket_sees_the_latest_commits(house: House) -> None:
    async with served(door(house)) as address, connected(address) as socket:
        for expected in (0, 1):
            await say(
                socket,
                type="subscribe",
                id=str(expected),
                payload={"query": "{customers{totalCount}}"},
            )
            assert (await hear(socket))["payload"]["data"]["customers"]["totalCount"] == expected
            assert (await hear(socket))["type"] == "complete"
            await house.run("createCustomer", name="Demo")


async def test_the_legacy_protocol_is_refused(house: House) -> None:
    async with (
        served(door(house)) as address,
        connect(f"ws://{address}", subprotocols=["graphql-ws"]) as socket,  # type: ignore[list-item]
    ):
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4406


async def test_the_event_stream_sends_the_same_changes(house: House) -> None:
    await house.run("createCustomer", name="Demo 0")
    since = await settle(house)
    first = await house.run("createCustomer", name="Demo 1")
    async with waking(house) as wake:
        opened = door(house, wake)
        async with served(opened) as address, httpx2.AsyncClient() as client:
            request = {"query": CHANGES, "variables": {"since": since}}
            headers = {"authorization": "Bearer manager", "accept": "text/event-stream"}
            async with client.stream("POST", f"http://{address}", json=request, headers=headers) as stream:
                lines = stream.aiter_lines()
                assert str(first.id) in await data_line(lines)
                second = await house.run("createCustomer", name="Demo 2")
                assert str(second.id) in await data_line(lines)
                opened.tokens.clear()
                assert "TOKEN_EXPIRED" in await data_line(lines)


async def test_a_multipart_subscription_sends_each_change_and_heartbeats(house: House) -> None:
    await house.run("createCustomer", name="Demo")
    since = await settle(house)
    async with (
        waking(house) as wake,
        served(door(house, wake)) as address,
        httpx2.AsyncClient() as client,
        asyncio.timeout(5),
    ):
        request = {"query": CHANGES, "variables": {"since": since}}
        accept = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json"
        headers = {"authorization": "Bearer manager", "accept": accept}
        async with client.stream("POST", f"http://{address}", json=request, headers=headers) as stream:
            received, texts = "", stream.aiter_text()
            while "\r\n\r\n{}\r\n--graphql" not in received:
                received += await anext(texts)
            made = await house.run("createCustomer", name="Demo 2")
            while not received.endswith("}\r\n--graphql") or str(made.id) not in received:
                received += await anext(texts)
            assert '{"payload":{"data":{"changes":{' in received


async def data_line(lines: Any) -> str:
    async with asyncio.timeout(5):
        async for line in lines:
            if line.startswith("data: ") and line != "data: ":
                return str(line)
    raise AssertionError


async def test_a_subscription_needs_its_permission(house: House) -> None:
    import dataclasses

    poor = dataclasses.replace(house.actor(), permissions=frozenset({"account:self"}))
    assert (await answer(house, "{changes{totalCount}}", poor)).codes == ["FORBIDDEN"]
