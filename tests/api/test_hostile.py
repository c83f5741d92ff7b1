"""A hostile document costs little before a limit refuses it, and its answer is small.

The cost is counted in function calls, which are the same on every machine.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from tests.support.ask import Answer, Context, Feed, answer, ask
from tests.support.hostile import Hostile, known, random_requests
from tests.support.house import House
from tournee.api import documents, suggestions
from tournee.api.schema import schema

# A quiet machine makes several million calls a second: 100 ms are about 500,000.
MOST_CALLS = 200_000
MOST_BYTES = 16_000
SEEDS = range(15)
MORE = pytest.param(range(15, 60), marks=pytest.mark.prove("More random documents."))

CODES = {"LIMIT_EXCEEDED", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"}


@pytest.fixture(scope="module")
def database_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """SQLite only: a refused document never reaches the database."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('hostile') / 'tournee.db')}"


@contextmanager
def counting() -> Iterator[list[int]]:
    """Count the Python function calls inside the block."""
    calls = [0]

    def count(_frame: object, event: str, _argument: object) -> None:
        calls[0] += event == "call"

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def refused(house: House, request: Hostile) -> Answer:
    """Send a request; if it is refused, check that it was cheap and its answer small."""
    documents.memory.clear()
    core = schema()._schema
    with counting() as calls:
        prepared = documents.prepare(core, request.text)
        subscribes = prepared.document is not None and "subscription" in request.text
        # Requests that run are tested in test_subscriptions.py.
        found = Answer(None) if subscribes else await answer(house, request.text, **request.variables)
    if found.errors and not found.data:
        assert calls[0] < MOST_CALLS, (request.name, calls[0])
        assert len(orjson.dumps(found.errors)) < MOST_BYTES, request.name
        assert len(found.errors) <= 5
        assert set(found.codes) <= CODES, (request.name, found.errors)
    return found


# These look hostile but run: they are just within the limits.
WITHIN = {"100 empty conditions in the document", "100 empty conditions in variables"}


@pytest.mark.slow("Documents as large as they may be.")
async def test_known_attacks_cost_little_and_are_refused(house: House) -> None:
    await ask(house, "{me{id}}")
    allowed = {request.name for request in known() if not (await refused(house, request)).errors}
    assert allowed == WITHIN


@pytest.mark.parametrize("seeds", [SEEDS, MORE])
async def test_random_documents_cost_little(house: House, seeds: range) -> None:
    await ask(house, "{me{id}}")
    for request in random_requests(seeds):
        await refused(house, request)


@pytest.mark.prove("Thousands of random documents, to show that they are varied enough.")
def test_random_documents_reach_every_limit_and_the_validation() -> None:
    found: set[str] = set()
    for request in random_requests(range(200)):
        for error in documents.prepare(schema()._schema, request.text, hide_suggestions=True).errors:
            found.add(str((error.extensions or {})["code"]))
    assert found == {"LIMIT_EXCEEDED", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"}


SMALLEST = {
    "100 unknown types": "GRAPHQL_VALIDATION_FAILED",
    "100 aliased lists of fields": "LIMIT_EXCEEDED",
    "900 kB of empty conditions in variables": "LIMIT_EXCEEDED",
    "1,000 empty conditions in variables": "LIMIT_EXCEEDED",
    "1,000 empty conditions in the document": "GRAPHQL_PARSE_FAILED",
    "900 unknown fields in variables": "GRAPHQL_VALIDATION_FAILED",
    "900 unknown fields in the document": "GRAPHQL_PARSE_FAILED",
    "one list used 30 times": "LIMIT_EXCEEDED",
    "a number of 29,000 digits": "LIMIT_EXCEEDED",
    "fields of the types of fields": "LIMIT_EXCEEDED",
    "introspection beside a field": "LIMIT_EXCEEDED",
    "150 negations in variables": "LIMIT_EXCEEDED",
    "90 conditions of 900 members": "LIMIT_EXCEEDED",
}


@pytest.mark.parametrize(("name", "code"), SMALLEST.items())
async def test_each_known_attack_is_refused_with_its_own_code(house: House, name: str, code: str) -> None:
    [request] = [one for one in known() if one.name == name]
    found = await answer(house, request.text, **request.variables)
    assert (set(found.codes), found.data) == ({code}, None)
    assert all(len(error["message"]) <= 301 for error in found.errors)


async def test_a_misspelt_name_gets_a_suggestion_unless_suggestions_are_off(house: House) -> None:
    wrong = {
        "{custmers{nodes{id}}}": "'customers'",
        "{customers(fliter:{}){nodes{id}}}": "'filter'",
        "query($f:CustomerFliter){customers(filter:$f){nodes{id}}}": "'CustomerFilter'",
        "{customers(filter:{nmae:{eq:1}}){nodes{id}}}": "'name'",
        "{customers(orderBy:[{name:ASK}]){nodes{id}}}": "'ASC'",
    }
    context = Context(house.kernel, house.actor(), Feed(house.database, ()), suggestions=False)
    for document, right in wrong.items():
        [error] = (await answer(house, document)).errors
        assert "Did you mean" in error["message"], error
        assert right in error["message"], error
        silent = await schema().execute(document, context_value=context)
        assert "Did you mean" not in str(silent.errors), document
    document = "query($f:CustomerFilter){customers(filter:$f){nodes{id}}}"
    given = {"f": {"nmae": {"eq": "a"}}}
    assert "Did you mean 'name'" in (await answer(house, document, **given)).errors[0]["message"]
    silent = await schema().execute(document, given, context_value=context)
    assert silent.errors
    assert "Did you mean" not in str(silent.errors)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("custmer", ["customer"]), ("CUSTOMER", ["customer"]), ("cusotmer", ["customer"]),
        ("customerss", ["customer"]), ("cstmr", []), ("ste", ["site"]), ("si", []), ("customers" * 6, []),
    ],
)  # fmt: skip
def test_names_that_differ_by_one_or_two_letters_are_similar(name: str, found: list[str]) -> None:
    assert suggestions.similar(name, ["customer", "site", "asset", "technician"]) == found


def test_every_suggestion_uses_the_cheap_comparison() -> None:
    holders = [
        module
        for name, module in sys.modules.items()
        if name.startswith("graphql.") and callable(getattr(module, "suggestion_list", None))
    ]
    original = {module.__name__ for module in holders if module.suggestion_list is not suggestions.similar}
    # The module that defines it, and a rule for schema definitions that never sees a document.
    rule = "graphql.validation.rules.possible_type_extensions"
    assert original == {"graphql.pyutils", "graphql.pyutils.suggestion_list", rule}
