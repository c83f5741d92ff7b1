"""Lists: pages, orders, filters."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import orjson
import pytest

from tests.support.ask import answer, ask
from tests.support.house import House
from tournee.api import pages as counting
from tournee.api.keyset import Order, OrderDirection
from tournee.api.nodes import plural
from tournee.assets.models import Reading
from tournee.customers.models import Contact, Customer
from tournee.kernel.log import Change
from tournee.work.models import Appointment

PAGE = """
query ($first: Int, $after: String, $last: Int, $before: String, $orderBy: [CustomerOrder!],
       $filter: CustomerFilter) {
  customers(first: $first, after: $after, last: $last, before: $before, orderBy: $orderBy, filter: $filter) {
    nodes { name phone }
    edges { cursor }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totalCount
  }
}
"""

# Nulls and equal values, so that an order by phone must fall back on the id.
PHONES = ["2", None, "1", "2", None, "3", "1", None, "2", "1"]

ORDERS: list[Any] = [
    None,
    [{"phone": "ASC"}],
    [{"phone": "DESC"}],
    [{"phone": "DESC"}, {"name": "ASC"}],
    [{"status": "ASC"}, {"phone": "ASC"}, {"createdAt": "DESC"}],
    [{"id": "DESC"}],
]


async def customers(house: House) -> None:
    for number, phone in enumerate(PHONES):
        await house.run("createCustomer", name=f"Demo {number}", phone=phone)


async def names(house: House, **variables: Any) -> list[str]:
    found = await ask(house, PAGE, **variables)
    return [node["name"] for node in found["customers"]["nodes"]]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [1, 3, 10])
async def test_pages_forward_cover_the_list_exactly_once(house: House, order: Any, size: int) -> None:
    await customers(house)
    whole = await names(house, orderBy=order)
    assert sorted(whole) == [f"Demo {number}" for number in range(10)]
    gathered: list[str] = []
    after = None
    for _ in range(20):
        page = (await ask(house, PAGE, first=size, after=after, orderBy=order))["customers"]
        gathered += [node["name"] for node in page["nodes"]]
        assert page["totalCount"] == 10
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert gathered == whole


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [1, 3, 10])
async def test_pages_backward_cover_the_list_exactly_once(house: House, order: Any, size: int) -> None:
    await customers(house)
    whole = await names(house, orderBy=order)
    gathered: list[str] = []
    before = None
    for _ in range(20):
        page = (await ask(house, PAGE, last=size, before=before, orderBy=order))["customers"]
        gathered = [node["name"] for node in page["nodes"]] + gathered
        assert page["pageInfo"]["hasNextPage"] is (before is not None)
        before = page["pageInfo"]["startCursor"]
        if not page["pageInfo"]["hasPreviousPage"]:
            break
    assert gathered == whole


@pytest.mark.parametrize("order", ORDERS)
async def test_runs_of_an_index_give_the_same_pages(
    house: House, order: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await customers(house)
    pages = [{"first": 3}, {"last": 3}]
    for page in pages:
        found = []
        for is_indexed in (False, True):
            monkeypatch.setattr(Order, "is_indexed", is_indexed)
            cursor, gathered = None, []
            for _ in range(12):
                after = {"after": cursor} if "first" in page else {"before": cursor}
                one = (await ask(house, PAGE, **page, **after, orderBy=order))["customers"]
                gathered.append(one)
                cursor = one["pageInfo"]["endCursor" if "first" in page else "startCursor"]
                if cursor is None:
                    break
            found.append(gathered)
        assert sum(len(one["nodes"]) for one in found[0]) == len(PHONES)
        assert found[0] == found[1]


async def test_counting_stops_at_a_limit_unless_an_exact_number_is_asked_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "MOST_COUNTED", 5)
    monkeypatch.setattr("tournee.api.load.MOST_COUNTED", 5)
    await customers(house)
    found = await ask(house, "{customers {totalCount} exactly: customers {totalCount(exact: true)}}")
    assert found == {"customers": {"totalCount": 6}, "exactly": {"totalCount": 10}}


async def test_nulls_sort_last_in_both_directions(house: House) -> None:
    await customers(house)
    for direction in ("ASC", "DESC"):
        found = await ask(house, PAGE, orderBy=[{"phone": direction}])
        assert [node["phone"] for node in found["customers"]["nodes"]][-3:] == [None] * 3


async def test_a_row_added_between_pages_does_not_shift_them(house: House) -> None:
    await customers(house)
    first = (await ask(house, PAGE, first=4, orderBy=[{"name": "ASC"}]))["customers"]
    await house.run("createCustomer", name="Demo 00")
    rest = (await ask(house, PAGE, after=first["pageInfo"]["endCursor"], orderBy=[{"name": "ASC"}]))[
        "customers"
    ]
    assert [node["name"] for node in rest["nodes"]] == [f"Demo {number}" for number in range(4, 10)]


async def test_a_foreign_or_broken_cursor_is_refused(house: House) -> None:
    await customers(house)
    page = (await ask(house, PAGE, first=1, orderBy=[{"name": "ASC"}]))["customers"]
    cursor = page["pageInfo"]["endCursor"]
    broken = [
        (cursor, [{"phone": "ASC"}]),
        (cursor, [{"name": "DESC"}]),
        (cursor[:-3], [{"name": "ASC"}]),
        ("", [{"name": "ASC"}]),
        ("é", None),
        ("WzFd", None),
        ("bnVsbA", None),
        ("e30", None),
    ]
    for text, order in broken:
        for side in ("after", "before"):
            found = await answer(house, PAGE, orderBy=order, **{side: text})
            assert found.codes == ["INVALID_CURSOR"], (text, order)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_pages_ordered_by_a_boolean_cover_the_list_exactly_once(house: House, direction: str) -> None:
    customer = await house.run("createCustomer", name="Demo")
    for number in range(5):
        agrees = number % 2 == 0
        await house.run(
            "createContact", customerId=customer.id, name=f"Demo {number}", consentsToMarketing=agrees
        )
    document = """query ($first: Int, $after: String, $order: [ContactOrder!]) {
      contacts(first: $first, after: $after, orderBy: $order) { nodes { name } pageInfo { endCursor } } }"""
    order = [{"consentsToMarketing": direction}]
    whole = (await ask(house, document, order=order))["contacts"]["nodes"]
    gathered: list[Any] = []
    after = None
    for _ in range(5):
        page = (await ask(house, document, first=1, after=after, order=order))["contacts"]
        gathered += page["nodes"]
        after = page["pageInfo"]["endCursor"]
    assert gathered == whole
    assert len(whole) == 5


FORGED: list[tuple[type[Any], str, Any]] = [
    (Customer, "createdAt", "0001-01-01T00:00:00+14:00"),
    (Customer, "createdAt", "9999-12-31T23:59:59-14:00"),
    (Customer, "name", 5),
    (Contact, "consentsToMarketing", 1),
    (Appointment, "durationMinutes", True),
    (Appointment, "durationMinutes", 2**31),
    (Reading, "value", True),
    (Change, "seq", False),
]


@pytest.mark.parametrize(("model", "field", "value"), FORGED)
async def test_a_cursor_whose_values_the_column_cannot_hold_is_refused(
    house: House, model: Any, field: str, value: Any
) -> None:
    order = Order.of(model, [{field: OrderDirection.ASC}])
    values = [value] if model is Change else [value, str(uuid4())]
    cursor = base64.urlsafe_b64encode(orjson.dumps([order.fingerprint, *values])).decode().rstrip("=")
    document = (
        f"query ($after: String) {{{plural(model.__name__)}(after: $after, orderBy: [{{{field}: ASC}}])"
    )
    found = await answer(house, document + "{nodes {id}}}", after=cursor)
    assert found.codes == ["INVALID_CURSOR"]


async def test_a_cursor_accepts_an_integer_for_a_float_column(house: House) -> None:
    order = Order.of(Reading, [{"value": OrderDirection.ASC}])
    text = orjson.dumps([order.fingerprint, 2**63, str(uuid4())])
    cursor = base64.urlsafe_b64encode(text).decode().rstrip("=")
    document = "query ($after: String) {readings(after: $after, orderBy: [{value: ASC}]) {nodes {id}}}"
    assert await ask(house, document, after=cursor) == {"readings": {"nodes": []}}


FILTERS: list[tuple[Any, list[int]]] = [
    ({"phone": {"eq": "2"}}, [0, 3, 8]),
    ({"phone": {"eq": None}}, [1, 4, 7]),
    ({"phone": {"ne": None}}, [0, 2, 3, 5, 6, 8, 9]),
    ({"phone": {"ne": "2"}}, [1, 2, 4, 5, 6, 7, 9]),
    ({"phone": {"isNull": True}}, [1, 4, 7]),
    ({"phone": {"isNull": False, "gt": "1"}}, [0, 3, 5, 8]),
    ({"phone": {"in": ["1", "3"]}}, [2, 5, 6, 9]),
    ({"phone": {"in": []}}, []),
    ({"phone": {"notIn": ["1", "3"]}}, [0, 1, 3, 4, 7, 8]),
    ({"phone": {"notIn": []}}, list(range(10))),
    ({"phone": {"lte": "2"}, "name": {"gte": "Demo 6"}}, [6, 8, 9]),
    ({"not": {"phone": {"eq": "2"}}}, [1, 2, 4, 5, 6, 7, 9]),
    ({"or": [{"phone": {"eq": "3"}}, {"name": {"eq": "Demo 1"}}]}, [1, 5]),
    ({"or": []}, []),
    ({"and": []}, list(range(10))),
    ({"and": [{"phone": {"eq": "1"}}, {"not": {"name": {"eq": "Demo 2"}}}]}, [6, 9]),
    ({"name": {"contains": "EMO 7"}}, [7]),
    ({"name": {"startsWith": "demo 1"}}, [1]),
    ({"name": {"contains": "%"}}, []),
    ({"name": {"contains": "_"}}, []),
    ({"id": {"eq": "nobody"}}, []),
    ({"id": {"notIn": ["nobody"]}}, list(range(10))),
    ({"kind": {"eq": "ORGANISATION"}}, list(range(10))),
    ({"kind": {"notIn": ["ORGANISATION"]}}, []),
    ({"createdAt": {"lt": "2020-01-01T00:00:00Z"}}, []),
    ({"createdAt": {"gt": "2020-01-01T00:00:00+02:00"}}, list(range(10))),
    (None, list(range(10))),
    ({}, list(range(10))),
    ({"phone": None}, list(range(10))),
    ({"phone": {}}, list(range(10))),
]


async def test_filters_select_the_expected_rows(house: House) -> None:
    await customers(house)
    for given, expected in FILTERS:
        found = await ask(house, PAGE, filter=given, orderBy=[{"name": "ASC"}])
        assert [node["name"] for node in found["customers"]["nodes"]] == [f"Demo {n}" for n in expected], (
            given
        )
        assert found["customers"]["totalCount"] == len(expected), given


async def test_sql_wildcards_match_only_themselves(house: House) -> None:
    for name in ("100% Demo", "Demo_1", "Demo\\2", "Demo 3"):
        await house.run("createCustomer", name=name)
    for text, expected in (("%", ["100% Demo"]), ("o_", ["Demo_1"]), ("\\", ["Demo\\2"]), ("/", [])):
        assert await names(house, filter={"name": {"contains": text}}) == expected


async def test_texts_are_found_without_case_accents_and_width(house: House) -> None:
    written = (
        "Demo İzmir",
        "Demo IZMIR",
        "Demo ÜBER",
        "Demo u\u0308ber",
        "Demo ΟΔΟΣ",
        "Demo Straße",
        "Demo Ｗ１",
    )
    for name in written:
        await house.run("createCustomer", name=name)
    for text, expected in (
        ("İz", ["Demo IZMIR", "Demo İzmir"]),
        ("über", ["Demo u\u0308ber", "Demo ÜBER"]),
        ("U\u0308B", ["Demo u\u0308ber", "Demo ÜBER"]),
        ("uber", ["Demo u\u0308ber", "Demo ÜBER"]),
        ("οδος", ["Demo ΟΔΟΣ"]),
        ("STRASS", ["Demo Straße"]),
        ("strAß", ["Demo Straße"]),
        ("w1", ["Demo Ｗ１"]),
        ("ｗ", ["Demo Ｗ１"]),
        ("％", []),
    ):
        for operator, prefix in (("contains", ""), ("startsWith", "DEMO ")):
            given = {"name": {operator: prefix + text}}
            assert sorted(await names(house, filter=given)) == expected, given


async def test_an_oversized_filter_is_refused(house: House) -> None:
    wide = {"or": [{"name": {"eq": "x"}}] * 101}
    assert (await answer(house, PAGE, filter=wide)).codes == ["LIMIT_EXCEEDED"]
    assert (await answer(house, PAGE, filter={"name": {"in": ["x"] * 1001}})).codes == ["LIMIT_EXCEEDED"]
    long = {"name": {"contains": "%" * 100_000}}
    assert (await answer(house, PAGE, filter=long)).codes == ["LIMIT_EXCEEDED"]
    assert (await answer(house, PAGE, filter={"name": {"eq": "\x00"}})).codes == ["BAD_USER_INPUT"]
    assert (await answer(house, PAGE, orderBy=[{"name": "ASC"}] * 6)).codes == ["LIMIT_EXCEEDED"]
    assert (await answer(house, PAGE, orderBy=[{"name": "ASC", "id": "ASC"}])).errors
    assert (await answer(house, PAGE, filter={"createdAt": {"gt": "2020-01-01T00:00:00"}})).errors
    deep: Any = {"name": {"eq": "x"}}
    for _ in range(500):
        deep = {"not": deep}
    assert (await answer(house, PAGE, filter=deep)).codes == ["LIMIT_EXCEEDED"]


def _nested(levels: int) -> Any:
    inner: Any = {"name": {"contains": "a"}}
    for _ in range(levels):
        inner = {"not": inner}
    return inner


# Filters with n of something: answered at the limit, refused one above it.
EDGES: dict[str, tuple[Callable[[int], Any], int]] = {
    "empty conditions": (lambda n: {"or": [{}] * n}, 100),
    "conditions without an operator": (lambda n: {"and": [{"name": {}}] * 49, "or": [{}] * (n - 98)}, 100),
    "operators": (
        lambda n: {"or": [{"name": {"eq": "a"}}] * 49, "name": dict(_TWO if n == 100 else _THREE)},
        100,
    ),
    "members of a list": (lambda n: {"name": {"in": ["a"] * n}}, 1000),
    "members of two lists": (lambda n: {"name": {"in": ["a"] * 600, "notIn": ["b"] * (n - 600)}}, 1000),
    "letters": (lambda n: {"name": {"contains": "a" * n}}, 1000),
    "letters at the beginning": (lambda n: {"name": {"startsWith": "a" * n}}, 1000),
}
_TWO = {"contains": "a", "ne": "b"}
_THREE = {**_TWO, "eq": "c"}


@pytest.mark.parametrize("edge", EDGES)
async def test_a_filter_is_answered_at_its_limit_and_refused_above_it(house: House, edge: str) -> None:
    made, most = EDGES[edge]
    assert (await answer(house, PAGE, filter=made(most))).codes == []
    assert (await answer(house, PAGE, filter=made(most + 1))).codes == ["LIMIT_EXCEEDED"]


async def test_a_list_is_ordered_by_at_most_five_fields(house: House) -> None:
    assert (await answer(house, PAGE, orderBy=[{"name": "ASC"}] * 5)).codes == []
    assert (await answer(house, PAGE, orderBy=[{"name": "ASC"}] * 6)).codes == ["LIMIT_EXCEEDED"]


async def test_the_deepest_allowed_filter_runs_on_both_databases(house: House) -> None:
    assert (await answer(house, PAGE, filter=_nested(30))).codes == []
