import asyncio
from typing import Any

import httpx2
import pytest

from tournee_client.testing import Fault, FlakyTransport, StreamingASGITransport


async def ticking(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    gone = asyncio.create_task(_disconnected(receive))
    while not gone.done():
        await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
        await asyncio.sleep(0.001)


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def test_an_endless_answer_is_streamed_and_ends_when_the_reader_leaves():
    before = asyncio.all_tasks()
    async with (
        httpx2.AsyncClient(transport=StreamingASGITransport(ticking)) as http,
        http.stream("GET", "http://server.example/ticks") as response,
    ):
        lines = response.aiter_lines()
        assert [await anext(lines), await anext(lines)] == ["tick", "tick"]
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == before


async def test_an_application_error_fails_the_request():
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    async with httpx2.AsyncClient(transport=StreamingASGITransport(broken)) as http:
        with pytest.raises(ZeroDivisionError):
            await http.get("http://server.example/")


async def test_the_same_seed_gives_the_same_faults():
    async def faults(seed: int) -> list[Fault]:
        inner = httpx2.MockTransport(lambda _: httpx2.Response(200, json={}))
        flaky = FlakyTransport.seeded(inner, seed, {Fault.DROP: 0.3, Fault.LOSE: 0.3})
        async with httpx2.AsyncClient(transport=flaky) as http:
            for _ in range(50):
                try:
                    await http.post("http://server.example/", json={})
                except httpx2.TransportError:
                    continue
        return [fault for fault, _, _ in flaky.history]

    assert await faults(1) == await faults(1)
    assert set(await faults(1)) == {Fault.DROP, Fault.LOSE, Fault.DELIVER}


async def test_a_cut_answer_ends_after_half_of_its_body():
    inner = httpx2.MockTransport(lambda _: httpx2.Response(200, content=b"0123456789"))
    async with (
        httpx2.AsyncClient(transport=FlakyTransport(inner, [Fault.CUT])) as http,
        http.stream("GET", "http://server.example/") as response,
    ):
        parts = response.aiter_bytes()
        assert await anext(parts) == b"01234"
        with pytest.raises(httpx2.ReadError):
            await anext(parts)
