"""`search`: records of several types by what people type."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import strawberry
from strawberry.types.field import StrawberryField

from tournee.api.connections import add_fields, object_type
from tournee.api.context import Info
from tournee.api.errors import LimitExceeded, Rejected
from tournee.api.filters import MOST_CHARACTERS
from tournee.api.mapping import argument, make_field
from tournee.api.nodes import NODE
from tournee.api.scalars import enumeration, optional
from tournee.auth.permissions import ACCOUNT_SELF
from tournee.kernel.entity import Entity
from tournee.reporting.search import MODELS, MOST_RESULTS, SearchKind, search

DEFAULT_RESULTS = 20


@dataclass(frozen=True)
class _Result:
    kind: SearchKind
    node: Entity

    @property
    def title(self) -> str:
        searched = type(self.node).searched
        assert searched is not None
        return searched.titled(self.node)

    @property
    def record_id(self) -> Any:
        return self.node.id


def _result_type() -> Any:
    made = object_type("SearchResult", "A record that a search found.", rows=_Result)
    for name, kind, text in (
        ("kind", enumeration(SearchKind), "The type of the record."),
        ("recordId", strawberry.ID, "The record's id."),
        ("title", str, "The name or summary to show in a list of results, after the number if there is one."),
        ("node", NODE, "The record itself."),
    ):
        python_name = "record_id" if name == "recordId" else name
        add_fields(made, make_field(name, kind, ACCOUNT_SELF, python_name=python_name, description=text))
    return made


def search_field() -> StrawberryField:
    """`search(query:, kinds:, first:)`."""
    return make_field(
        "search",
        list[_result_type()],  # type: ignore[misc]
        ACCOUNT_SELF,
        resolver=_search,
        arguments=[
            argument(
                "query",
                str,
                "A number, a phone number, the beginning of a name, or words in any order. Case, accents,"
                " character width and punctuation are ignored, and words may be cut off at the end.",
            ),
            argument(
                "kinds",
                optional(list[enumeration(SearchKind)]),  # type: ignore[misc]
                "The types to look for; all by default.",
            ),
            argument(
                "first",
                optional(int),
                f"The most results to return; {DEFAULT_RESULTS} by default, at most {MOST_RESULTS}.",
            ),
        ],
        description=(
            "Records that you may see, best match first: those whose number, name or phone number is the"
            " query, then those where one of these begins with it, then those that have all its words."
        ),
    )


async def _search(
    info: Info, query: str, kinds: list[SearchKind] | None = None, first: int | None = None
) -> list[_Result]:
    most = DEFAULT_RESULTS if first is None else first
    if "\x00" in query:
        raise Rejected("A text cannot hold a NUL character.")
    if len(query) > MOST_CHARACTERS:
        raise LimitExceeded(f"A search has at most {MOST_CHARACTERS} characters.")
    if most < 0:
        raise Rejected("`first` must not be negative.")
    if most > MOST_RESULTS:
        raise LimitExceeded(f"A search has at most {MOST_RESULTS} results.")
    context = info.context
    found = await context.load.ask(
        lambda session: search(session, context.actor, query, MODELS if kinds is None else kinds, most)
    )
    nodes = await asyncio.gather(*(context.load.one(MODELS[one.kind], one.id) for one in found))
    return [_Result(one.kind, node) for one, node in zip(found, nodes, strict=True) if node is not None]
