"""One statement runs while the next is prepared."""

from __future__ import annotations

import asyncio

import pytest

from tournee.engine.pipelining import Pipeline


async def test_a_statement_runs_while_the_next_is_built_and_after_the_previous_one() -> None:
    said: list[str] = []
    answer = asyncio.Event()

    async def statement(name: str) -> str:
        said.append(f"{name} sent")
        await answer.wait()
        said.append(f"{name} came back")
        return name

    async with Pipeline() as pipeline:
        first = await pipeline.send(statement("first"))
        assert said == ["first sent"]
        asyncio.get_running_loop().call_later(0.001, answer.set)
        await pipeline.send(statement("second"))
        assert first.result() == "first"
    assert said == ["first sent", "first came back", "second sent", "second came back"]


async def test_an_error_is_raised_at_the_next_statement_which_is_not_sent() -> None:
    sent: list[str] = []

    async def refused() -> None:
        await asyncio.sleep(0)
        raise ValueError("refused")

    async def other() -> None:
        sent.append("other")

    async def both() -> None:
        async with Pipeline() as pipeline:
            await pipeline.send(refused())
            await pipeline.send(other())

    with pytest.raises(ValueError, match="refused"):
        await both()
    assert sent == []


async def test_an_error_of_the_last_statement_is_raised_at_the_end() -> None:
    async def refused() -> None:
        await asyncio.sleep(0)
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        async with Pipeline() as pipeline:
            await pipeline.send(refused())


async def _endless(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("endless")


async def test_a_block_that_raises_leaves_no_statement_running() -> None:
    ended: list[str] = []

    async def leaving() -> None:
        async with Pipeline() as pipeline:
            await pipeline.send(_endless(ended))
            raise KeyError

    with pytest.raises(KeyError):
        await leaving()
    assert ended == ["endless"]


async def test_a_cancelled_request_leaves_no_statement_running() -> None:
    ended: list[str] = []

    async def request() -> None:
        async with Pipeline() as pipeline:
            await pipeline.send(_endless(ended))
            await pipeline.arrived()

    task = asyncio.create_task(request())
    await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["endless"]
