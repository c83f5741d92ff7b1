"""Work over the server's limits is split, set aside, or refused before it is stored."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.clients.fake import FakeServer
from tournee_client import Device, Effect, Offline, Store, TooLarge, new_id, outbox
from tournee_client import push as pushing
from tournee_client.testing import Fault, FlakyTransport

Open = Callable[[Store], Device]
NOTE = "ä" * 9000


async def test_a_batch_is_limited_by_bytes_and_by_count(
    device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "BATCH_BYTES", 200_000)
    done = [await device.do("createNote", {"id": str(place), "text": NOTE}) for place in range(50)]
    await device.push()
    assert [operation["id"] for push in server.pushes for operation in push] == done
    assert max(server.sizes) < pushing.BATCH_BYTES + 1000 < sum(server.sizes)
    assert len(server.sizes) < 1.2 * sum(server.sizes) / pushing.BATCH_BYTES + 1


async def test_a_unit_is_never_cut_by_bytes(
    device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "BATCH_BYTES", 40_000)
    first = await device.do("createNote", {"id": "first", "text": NOTE})
    async with device.unit():
        unit = [await device.do("createNote", {"id": str(place), "text": NOTE}) for place in range(5)]
    last = await device.do("createNote", {"id": "last", "text": NOTE})
    await device.push()
    assert [[operation["id"] for operation in push] for push in server.pushes] == [[first], unit, [last]]


async def test_an_operation_over_the_servers_limit_does_not_block_the_rest(
    device: Device, server: FakeServer
) -> None:
    server.most_bytes = 60_000
    texts = [NOTE, NOTE * 10, *[NOTE] * 6]
    done = [
        await device.do("createNote", {"id": str(place), "text": text}) for place, text in enumerate(texts)
    ]
    await device.push()
    assert device.pending() == []
    (rejection,) = device.rejections()
    assert (rejection.operation.id, rejection.outcome.code) == (done[1], "TOO_LARGE")
    assert rejection.operation.input["text"] == NOTE * 10, "the work is still stored"
    assert [server.row("Note", str(place)) is None for place in range(8)] == [
        place == 1 for place in range(8)
    ]


@pytest.mark.parametrize(("count", "text"), [(1001, ""), (10, "x" * 800_000)], ids=["count", "bytes"])
async def test_a_unit_that_no_request_can_hold_is_refused_at_its_end(
    device: Device, server: FakeServer, count: int, text: str
) -> None:
    async def much() -> None:
        async with device.unit():
            for place in range(count):
                await device.do("createNote", {"id": str(place), "text": text})

    with pytest.raises(TooLarge):
        await much()
    assert (device.pending(), device.all("Note")) == ([], [])
    with pytest.raises(TooLarge):
        await device.do("createNote", {"id": "a", "text": "x" * 8_000_000})
    await device.do("createNote", {"id": "b", "text": "x"})
    assert [operation.number for operation in device.pending()] == [1]
    await device.sync()
    assert len(server.applied) == 1


async def test_a_unit_of_the_maximum_size_is_sent(device: Device, server: FakeServer) -> None:
    async with device.unit():
        for place in range(8):
            await device.do("createNote", {"id": str(place), "text": "x" * 999_700})
    await device.push()
    assert [len(push) for push in server.pushes] == [8]
    assert server.sizes[-1] > outbox.UNIT_BYTES - 2000
    assert server.sizes[-1] < server.most_bytes


async def test_a_unit_assembled_from_single_operations_is_bounded_too(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "UNIT", 3)
    unit = new_id()
    for place in range(3):
        await device.do("createNote", {"id": str(place)}, unit=unit)
    with pytest.raises(TooLarge):
        await device.do("createNote", {"id": "3"}, unit=unit)
    await device.do("createNote", {"id": "3"})
    assert len(device.pending()) == 4


async def _old_unit(device: Device, monkeypatch: pytest.MonkeyPatch, count: int) -> list[str]:
    """Store a unit as an older app did, between two other operations."""
    first = await device.do("createNote", {"id": "first"})
    with monkeypatch.context() as older:
        older.setattr(outbox, "UNIT", count)
        async with device.unit():
            unit = [await device.do("createNote", {"id": str(place)}) for place in range(count)]
    return [first, *unit, await device.do("createNote", {"id": "last"})]


async def test_an_oversized_unit_of_an_older_app_is_set_aside_whole(
    device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *unit, last = await _old_unit(device, monkeypatch, 1200)
    await device.sync()
    assert device.pending() == []
    assert [one["id"] for one in server.applied if one["input"]] == [first, last]
    assert [rejection.operation.id for rejection in device.rejections()] == unit
    assert {rejection.outcome.code for rejection in device.rejections()} == {"UNREADABLE"}
    assert server.numbers == set(range(1, 1203)), "a gap would make the server wait for ever"


async def test_no_part_of_a_unit_set_aside_is_applied_later(
    device: Device,
    server: FakeServer,
    network: FlakyTransport,
    open_device: Open,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its names are sent in batches; the rest of the unit between two batches would fit into a request."""
    first, *unit, last = await _old_unit(device, monkeypatch, 1200)
    # The first operation, the whole unit, the first batch of its names; then the app closes.
    network.plan = iter([Fault.DELIVER] * 3 + [Fault.DROP])
    with pytest.raises(Offline):
        await device.push()
    states = {operation.state for operation in device.pending()}
    assert (len(device.pending()), states) == (701, {"UNREADABLE", "pending"})
    again = open_device(device.store)
    await again.sync()
    assert [one["id"] for one in server.applied if one["input"]] == [first, last]
    assert [rejection.operation.id for rejection in again.rejections()] == unit


async def test_an_operation_set_aside_behind_a_gap_is_named_until_decided(
    device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = await device.do("createNote", {"id": "1"})
    server.too_large = {large}
    said = server._outcome
    waits = [True]

    def park(operation: dict[str, object]) -> dict[str, object]:
        return {"id": operation["id"], "status": "parked"} if waits else said(operation)

    monkeypatch.setattr(server, "_outcome", park)
    await device.push()
    assert [operation.state for operation in device.pending()] == ["TOO_LARGE"]
    waits.clear()
    await device.push()
    assert device.pending() == []
    assert [rejection.outcome.code for rejection in device.rejections()] == ["TOO_LARGE"]


LONE = "gas leak \ud83d"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (LONE, "gas leak \ufffd"),
        ("\udd25 \ud83d\udd25", "\ufffd \N{FIRE}"),
        ("\ud83d\ud83d\udd25", "\ufffd\N{FIRE}"),
        ("a\0b \\u0000", "a\ufffdb \\u0000"),
        ("\N{FIRE} plain", "\N{FIRE} plain"),
    ],
    ids=range(5),
)
async def test_invalid_characters_in_a_text_are_replaced(
    device: Device, server: FakeServer, typed: str, kept: str
) -> None:
    shown = [Effect("Visit", "v", {"note": typed}, creates=True)]
    await device.do("createNote", {"id": "1", "text": typed, "more": [{typed: typed}]}, effects=shown)
    await device.do("createNote", {"id": "2", "text": typed})
    assert device.get("Visit", "v") == {"id": "v", "note": kept}
    assert (device.get("Note", "2") or {})["text"] == kept
    await device.push()
    assert server.applied[0]["input"] == {"id": "1", "text": kept, "more": [{kept: kept}]}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_a_number_that_json_lacks_is_refused_before_it_is_stored(device: Device, number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        await device.do("createNote", {"id": "1", "size": number})
    assert device.pending() == []


async def test_a_number_that_json_lacks_from_an_older_app_does_not_block_the_rest(
    device: Device, server: FakeServer
) -> None:
    wrong = await device.do("createNote", {"id": "1", "size": 1})
    right = await device.do("createNote", {"id": "2"})
    device.store.database.execute("UPDATE outbox SET input = ? WHERE id = ?", ('{"size":NaN}', wrong))
    read, server._push = server._push, _strict(server)  # type: ignore[method-assign]
    await device.sync()
    server._push = read  # type: ignore[method-assign]
    assert device.pending() == []
    assert [one["id"] for one in server.applied if one["input"]] == [right]
    assert [rejection.operation.id for rejection in device.rejections()] == [wrong]


def _strict(server: FakeServer) -> Callable[..., object]:
    import httpx2

    read = server._push

    def push(body: dict[str, object]) -> httpx2.Response:
        return httpx2.Response(400) if "NaN" in json.dumps(body) else read(body)

    return push
