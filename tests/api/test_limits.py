"""What one document may ask, and that finding out costs little."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.api.ask import answer, ask
from tests.house import House
from tournee.api import documents, load


def chain(length: int, body: str) -> str:
    """Fragments that each spread the next one twice: 2^length fields in a few hundred bytes."""
    parts = [f"fragment F{n} on Customer{{...F{n + 1} ...F{n + 1}}}" for n in range(length)]
    return "{customers{nodes{...F0}}}" + " ".join([*parts, f"fragment F{length} on Customer{{{body}}}"])


@contextmanager
def counting() -> Iterator[list[int]]:
    """Counts the calls of Python functions meanwhile: what something costs, on any machine."""
    calls = [0]

    def count(_frame: object, event: str, _argument: object) -> None:
        calls[0] += event == "call"

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("body", ["name", "a: name"])
async def test_a_chain_of_fragments_is_measured_without_following_every_path(house: House, body: str) -> None:
    with counting() as calls:
        found = await answer(house, chain(60, body))
    assert calls[0] < 3_000_000
    assert found.codes == (["LIMIT_EXCEEDED"] if ":" in body else [])


@pytest.mark.parametrize(
    "document",
    [
        "{customers{nodes{" + "parent{" * 11 + "id" + "}" * 11 + "}}}",
        "{" + " ".join(f"a{n}: me{{id}}" for n in range(31)) + "}",
        "{me{id " + "@include(if: true) " * 51 + "}}",
    ],
)
async def test_too_deep_too_many_aliases_or_directives_are_refused(house: House, document: str) -> None:
    assert (await answer(house, document)).codes == ["LIMIT_EXCEEDED"]


async def test_an_operation_reads_no_more_rows_than_it_may(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        await house.run("createCustomer", name=f"Demo {number}")
    monkeypatch.setattr(load, "MOST_ROWS", 10)
    await ask(house, "{customers(first:9){nodes{id}}}")
    assert (await answer(house, "{customers(first:11){nodes{id}}}")).codes == ["LIMIT_EXCEEDED"]
    nested = await answer(house, "{customers(first:4){nodes{history{nodes{seq}} branches{nodes{id}}}}}")
    assert nested.codes == []
    nested = await answer(house, "{customers(first:6){nodes{history{nodes{seq}}}}}")
    assert nested.codes == ["LIMIT_EXCEEDED"]


async def test_operations_that_fail_halfway_give_their_connections_back(house: House) -> None:
    failing = (
        "{a:customers{nodes{id sites{totalCount}}} b:customers(first:-1){nodes{id}} c:sites{totalCount}}"
    )
    for _ in range(30):
        assert "BAD_USER_INPUT" in (await answer(house, failing)).codes
    pool: Any = house.database.engine.pool
    assert pool.checkedout() == 0
    await ask(house, "{customers{totalCount}}")


@pytest.mark.parametrize(
    "document",
    [
        "{me{" + "id " * 3990 + "}}",
        "{" + "me{id} " * 990 + "}",
        "{" + "...{me{id}} " * 550 + "}",
        "{" + "me{id organisation{id name} role scopes} " * 249 + "}",
    ],
)
async def test_a_hostile_document_of_the_greatest_size_costs_no_more_than_its_length(
    house: House, document: str
) -> None:
    with counting() as calls:
        await answer(house, document)
    # A rule that compares each field with each other would make ten times as many.
    assert calls[0] < 3_000_000


async def test_a_document_of_too_many_tokens_is_not_read_to_its_end(house: House) -> None:
    found = await answer(house, "{me{" + "id " * 5000 + "}}")
    assert found.codes == ["GRAPHQL_PARSE_FAILED"]


async def test_a_document_seen_before_is_neither_parsed_nor_validated_again(house: House) -> None:
    documents._prepare.cache_clear()
    for _ in range(10):
        await ask(house, "{me{id role}}")
    assert documents._prepare.cache_info().hits == 9


async def test_a_remembered_document_is_still_held_against_the_scopes_of_who_asks(house: House) -> None:
    await ask(house, "{accounts{totalCount}}")
    assert (await answer(house, "{accounts{totalCount}}", "DISPATCHER")).codes == ["FORBIDDEN"]
    await ask(house, "{accounts{totalCount}}")


async def test_each_operation_of_a_document_needs_only_its_own_scopes(house: House) -> None:
    from tests.api.ask import Context, Feed
    from tournee.api.schema import schema

    text = "query A{me{id}} query B{accounts{totalCount}}"
    for name, allowed in (("A", True), ("B", False)):
        context = Context(house.kernel, house.actor("DISPATCHER"), Feed(house.database, ()))
        result = await schema().execute(text, operation_name=name, context_value=context)
        assert (not result.errors) is allowed
