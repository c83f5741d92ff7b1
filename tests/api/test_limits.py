"""How much one document may ask for, and that checking it costs little."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import parse

from tests.support.ask import answer, ask
from tests.support.house import House
from tournee.api import documents, limits, load
from tournee.api.schema import schema


def chain(length: int, body: str) -> str:
    """Return fragments that each spread the next one twice: 2^length fields in a few hundred bytes."""
    parts = [f"fragment F{n} on Customer{{...F{n + 1} ...F{n + 1}}}" for n in range(length)]
    return "{customers{nodes{...F0}}}" + " ".join([*parts, f"fragment F{length} on Customer{{{body}}}"])


@pytest.mark.parametrize("body", ["name", "a: name"])
async def test_a_chain_of_fragments_is_counted_without_following_every_path(house: House, body: str) -> None:
    found = await answer(house, chain(30, body))
    assert set(found.codes) == {"LIMIT_EXCEEDED"}
    assert (await answer(house, chain(5, body))).codes == (["LIMIT_EXCEEDED"] if ":" in body else [])


def test_a_variable_counts_once_for_each_use_in_the_operation_and_its_fragments() -> None:
    text = "query Q{a:f(ids:$ids) b:f(ids:$ids) ...F} fragment F on Query{c:f(ids:$ids)}"
    size = limits.sizes(parse(text))["Q"]
    # Three times the list itself and its members.
    fits = (limits.MOST_VALUES - size.values) // 3 - 1
    assert limits.exceeded_by({"ids": [1] * fits}, size) == []
    assert limits.exceeded_by({"ids": [1] * (fits + 1)}, size) != []


async def test_an_operation_reads_at_most_the_allowed_rows(
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


async def test_a_failed_operation_returns_its_connection(house: House) -> None:
    failing = (
        "{a:customers{nodes{id sites{totalCount}}} b:customers(first:-1){nodes{id}} c:sites{totalCount}}"
    )
    for _ in range(30):
        assert "BAD_USER_INPUT" in (await answer(house, failing)).codes
    pool: Any = house.database.engine.pool
    assert pool.checkedout() == 0
    await ask(house, "{customers{totalCount}}")


async def test_a_document_with_too_many_tokens_is_not_read_to_its_end(house: House) -> None:
    found = await answer(house, "{me{" + "id " * 5000 + "}}")
    assert found.codes == ["GRAPHQL_PARSE_FAILED"]


async def test_a_document_seen_before_is_neither_parsed_nor_validated_again(house: House) -> None:
    documents.memory.clear()
    for _ in range(10):
        await ask(house, "{me{id role}}")
    assert documents.memory.hits == 9


def test_the_document_cache_is_bounded_and_keeps_the_most_recent() -> None:
    memory = documents._Memory(most=100)
    core = schema()._schema
    keys = [(core, letter * 30, False) for letter in "abcd"]
    for key in keys[:3]:
        memory.keep(key, documents.Prepared(None))
    assert memory.get(keys[0]) is not None
    memory.keep(keys[3], documents.Prepared(None))
    assert [memory.get(key) is not None for key in keys] == [True, False, True, True]
    memory.keep((core, "x" * 101, False), documents.Prepared(None))
    assert not any(memory.get(key) for key in keys)


async def test_a_cached_document_still_checks_the_callers_permissions(house: House) -> None:
    await ask(house, "{accounts{totalCount}}")
    assert (await answer(house, "{accounts{totalCount}}", "DISPATCHER")).codes == ["FORBIDDEN"]
    await ask(house, "{accounts{totalCount}}")


async def test_each_operation_of_a_document_needs_only_its_own_permissions(house: House) -> None:
    from tests.support.ask import Context, Feed

    text = "query A{me{id}} query B{accounts{totalCount}}"
    for name, allowed in (("A", True), ("B", False)):
        context = Context(house.kernel, house.actor("DISPATCHER"), Feed(house.database, ()))
        result = await schema().execute(text, operation_name=name, context_value=context)
        assert (not result.errors) is allowed
