from typing import Any

import pytest
from sqlalchemy import delete, update

from tests.support.ask import answer, ask
from tests.support.house import House
from tests.support.world import World
from tournee.catalogue import ENTITIES
from tournee.engine.indexing import complete_terms
from tournee.kernel.fields import field_named
from tournee.kernel.search_term import SearchTerm
from tournee.reporting.search import MODELS

SEARCH = """
query ($query: String!, $kinds: [SearchKind!], $first: Int) {
  search(query: $query, kinds: $kinds, first: $first) {
    kind recordId title node { id ... on Customer { name } }
  }
}
"""


async def found(house: House, query: str, _as: Any = "MANAGER", **given: Any) -> list[str]:
    results = (await ask(house, SEARCH, _as, query=query, **given))["search"]
    assert all(one["node"]["id"] == one["recordId"] for one in results)
    return [one["title"] for one in results]


async def test_search_finds_words_without_case_accents_and_width(house: House) -> None:
    await house.run("createCustomer", name="Bäckerei Müller", phone="030 / 12 34-56")
    await house.run("createCustomer", name="Gebr. Mu\u0308llermann", email="office@mann.example")
    await house.run("createCustomer", name="Straße & Söhne")
    muller = ["Bäckerei Müller", "Gebr. Mu\u0308llermann"]
    for query, expected in (
        ("muller", muller),
        ("ＭÜLLER", muller),
        ("muller back", muller[:1]),
        ("strasse", ["Straße & Söhne"]),
        ("sohne STRASSE", ["Straße & Söhne"]),
        ("office@mann", muller[1:]),
        ("uller", []),
        ("+49 30 1234", muller[:1]),
        ("0049 (30) 123456", muller[:1]),
        ("０３０-12", muller[:1]),
        ("+49 30 99", []),
    ):
        assert await found(house, query) == expected, query


async def test_what_grows_when_it_is_folded_is_cut(house: House) -> None:
    name = f"Demo {'ⅷ' * 30}"
    await house.run("createCustomer", name=name, phone="⑳" * 40)
    assert await found(house, "viii" * 30) == await found(house, "20" * 40) == [name]


async def test_exact_numbers_come_before_beginnings_and_these_before_words(house: House) -> None:
    world = await World(house).settle()
    place = {"siteId": world.site.id, "customerId": world.customer.id}
    await house.run("createAsset", name="Lift by 4711 works", **place)
    await house.run("createAsset", name="Lift", serialNumber="47-11 A", **place)
    await house.run("createAsset", name="4711", **place)
    await house.run("createPart", number="47 11", name="Seal")
    order = await world.order(summary="Repair 4711")
    assert await found(house, "4711") == [
        "4711",
        "47 11 Seal",
        "Lift",
        "Lift by 4711 works",
        order_title(order),
    ]
    assert await found(house, "4711", first=2) == ["4711", "47 11 Seal"]
    assert await found(house, "4711", kinds=["WORK_ORDER", "PART"]) == ["47 11 Seal", order_title(order)]
    assert await found(house, "4711", kinds=[]) == []
    assert await found(house, order.number.lower()) == [order_title(order)]
    assert await found(house, order.number.removeprefix("WO-")) == [order_title(order)]


def order_title(order: Any) -> str:
    return f"{order.number} {order.summary}"


async def test_terms_follow_every_change_of_a_record(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo")
    contact = await house.run("createContact", customerId=customer.id, name="Ann Harbour", mobile="030 1234")
    await house.run("updateContact", contactId=contact.id, name="Ann Castle", mobile=None)
    assert await found(house, "castle") == ["Ann Castle"]
    assert await found(house, "harbour") == await found(house, "0301234") == []
    before = {term.text for term in await house.rows(SearchTerm)}
    await house.run("updateContact", contactId=contact.id, language="fr")
    assert {term.text for term in await house.rows(SearchTerm)} == before
    await house.run("deleteContact", contactId=contact.id)
    assert [term.text for term in await house.rows(SearchTerm, record_id=contact.id)] == []


async def test_housekeeping_corrects_what_a_server_without_terms_wrote(house: House) -> None:
    made = [await house.run("createCustomer", name=f"Demo {name}") for name in ("Hotel", "Harbour")]
    before = {(term.record_id, term.whole, term.text) for term in await house.rows(SearchTerm)}
    async with house.writing() as session:
        await session.execute(
            update(SearchTerm)
            .where(SearchTerm.record_id == made[0].id)
            .where(SearchTerm.whole)
            .values(text="old")
        )
        await session.execute(delete(SearchTerm).where(SearchTerm.record_id == made[1].id))
        await session.commit()
    await complete_terms(house.database, house.organisation_id)
    assert {(term.record_id, term.whole, term.text) for term in await house.rows(SearchTerm)} == before


async def test_a_search_shows_a_technician_only_what_their_lists_show(house: House) -> None:
    world = await World(house).settle()
    mine = await world.technician()
    order = await world.order(summary="Demo pump")
    await world.order(summary="Demo pump elsewhere")
    await house.run("createPart", number="P-1", name="Demo pump seal")
    await world.visit(mine, order=order)
    everything = [order_title(order), "WO-1002 Demo pump elsewhere", "P-1 Demo pump seal"]
    assert sorted(await found(house, "pump demo")) == sorted(everything)
    assert sorted(await found(house, "pump demo", mine.actor)) == sorted([everything[0], everything[2]])
    assert await found(house, "hotel", mine.actor) == ["Demo Hotel"]
    other = await world.technician()
    assert await found(house, "hotel", other.actor) == []
    assert await found(house, "pump", other.actor) == ["P-1 Demo pump seal"]
    assert await found(house, "hotel", "CUSTOMER_PORTAL") == []


async def test_hostile_queries_find_nothing_or_are_refused(house: House) -> None:
    await house.run("createCustomer", name='100% O\'Neil_\\ 🙂 "Demo"')
    for query in ("%", "_", "\\", "'", '"', "🙂", "", "  ", "'; DROP TABLE search_term; --", "\U0010ffff"):
        assert await found(house, query) == [], query
    for query in ("o'neil", "100%", '"demo', "O Neil_\\", "neil " * 150):
        assert len(await found(house, query)) == 1, query
    assert (await answer(house, SEARCH, query="x" * 10_000)).codes == ["LIMIT_EXCEEDED"]
    assert (await answer(house, SEARCH, query="x", first=101)).codes == ["LIMIT_EXCEEDED"]
    for bad in ({"query": "a\x00"}, {"query": "a", "first": -1}):
        assert (await answer(house, SEARCH, **bad)).codes == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("name", ENTITIES)
def test_nobody_can_search_by_a_field_that_they_may_not_read(name: str) -> None:
    model = ENTITIES[name]
    assert (model.searched is not None) == (model in MODELS.values())
    if model.searched is not None:
        named = (*model.searched.wholes, *model.searched.words, *model.searched.phones)
        assert all(field_named(model, one).permission is None for one in named)
