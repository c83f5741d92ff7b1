"""Requests made to be expensive: known ones, and any number of random ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from string import ascii_letters
from typing import Any

from graphql import (
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
)

from tournee.api.schema import schema


@dataclass(frozen=True)
class Hostile:
    """A document and its variables."""

    name: str
    text: str
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        return {"query": self.text, "variables": self.variables}


_FILTERED = "query($f:CustomerFilter){customers(filter:$f){nodes{id}}}"


def _filter(name: str, literal: str, value: Any) -> Iterator[Hostile]:
    """Yield the same filter in the document and in its variables."""
    yield Hostile(f"{name} in the document", f"{{customers(filter:{literal}){{nodes{{id}}}}}}")
    yield Hostile(f"{name} in variables", _FILTERED, {"f": value})


def _filters() -> Iterator[Hostile]:
    yield from _filter("100 empty conditions", f"{{or:[{'{},' * 100}]}}", {"or": [{}] * 100})
    yield from _filter("1,000 empty conditions", f"{{or:[{'{},' * 1000}]}}", {"or": [{}] * 1000})
    yield from _filter("900 kB of empty conditions", f"{{or:[{'{},' * 9_900}]}}", {"or": [{}] * 300_000})
    unknown = {f"unknown{number}": 1 for number in range(900)}
    yield from _filter("900 unknown fields", str(unknown).replace("'", ""), unknown)
    deep: Any = {"name": {"eq": "a"}}
    for _ in range(150):
        deep = {"not": deep}
    yield from _filter("150 negations", str(deep).replace("'", "").replace("eq: a", 'eq: "a"'), deep)
    values = {"id": {"in": ["x" * 36] * 20_000}}
    yield from _filter(
        "20,000 members", str(values).replace("'id'", "id").replace("'in'", "in").replace("'", '"'), values
    )
    conditions = [{"name": {"in": ["a"] * 900}}] * 90
    yield Hostile("90 conditions of 900 members", _FILTERED, {"f": {"or": conditions}})


def _introspections() -> Iterator[Hostile]:
    hundred = " ".join(f"a{number}:fields{{b:name c:description}}" for number in range(100))
    yield Hostile("100 aliased lists of fields", f"{{__schema{{types{{{hundred}}}}}}}")
    nested = "{name}"
    for _ in range(6):
        nested = f"{{fields{{type{nested}}}}}"
    yield Hostile("fields of the types of fields", f"{{__schema{{types{nested}}}}}")
    chain = "".join(
        f"fragment F{n} on __Type{{...F{n + 1} fields{{type{{...F{n + 1}}}}}}}" for n in range(12)
    )
    yield Hostile(
        "introspection in fragments", f"{{__schema{{types{{...F0}}}}}}{chain}fragment F12 on __Type{{name}}"
    )
    yield Hostile("introspection beside a field", "{me{id} __schema{types{fields{name args{name}}}}}")


def _documents() -> Iterator[Hostile]:
    spreads = " ".join(f"...on TechnicianFilterOrder{number}{{id}}" for number in range(100))
    yield Hostile("100 unknown types", f"{{{spreads}}}")
    yield Hostile(
        "unknown types of 40 letters",
        "{" + " ".join(f"...on {'Technician' * 4}{n}{{id}}" for n in range(300)) + "}",
    )
    yield Hostile(
        "unknown fields of 40 letters",
        "{customers{nodes{" + " ".join(f"{'customer' * 5}{n}" for n in range(500)) + "}}}",
    )
    yield Hostile(
        "unknown arguments", "{customers(" + ",".join(f"filters{n}:1" for n in range(400)) + "){nodes{id}}}"
    )
    for name, body in (("fields", "id"), ("aliases", "a: id")):
        chain = "".join(f"fragment F{n} on Me{{...F{n + 1} ...F{n + 1}}}" for n in range(90))
        yield Hostile(f"2^90 {name}", f"{{me{{...F0}}}}{chain}fragment F90 on Me{{{body}}}")
    long_chain = "".join(f"fragment F{n} on Me{{...F{n + 1}}}" for n in range(250))
    yield Hostile("250 fragments in a row", f"{{me{{...F0}}}}{long_chain}fragment F250 on Me{{id}}")
    cycle = "".join(f"fragment F{n} on Me{{...F{(n + 1) % 100} ...F{(n + 2) % 100}}}" for n in range(100))
    yield Hostile("cycles of fragments", f"{{me{{...F0}}}}{cycle}")
    yield Hostile("the same field again and again", "{me{" + "id " * 1900 + "}}")
    yield Hostile("fields that could be merged", "{" + "me{id organisation{id name}} " * 180 + "}")
    yield Hostile("inline fragments", "{" + "...{me{id}} " * 240 + "}")
    yield Hostile("deep inline fragments", "{" + "...{" * 190 + "me{id}" + "}" * 190 + "}")
    operations = " ".join(f"query Q{n}{{...F0}}" for n in range(150))
    fragments = " ".join(f"fragment F{n} on Query{{...F{n + 1}}}" for n in range(30))
    yield Hostile("operations by fragments", f"{operations} {fragments} fragment F30 on Query{{me{{id}}}}")
    variables = " ".join(f"$v{n}:Int=1" for n in range(300))
    yield Hostile("variables", f"query({variables}){{me{{id}}}}")
    uses = " ".join(f"a{n}:customers(orderBy:$o){{totalCount}}" for n in range(30))
    yield Hostile(
        "one list used 30 times", f"query($o:[CustomerOrder!]){{{uses}}}", {"o": [{"name": "ASC"}] * 4900}
    )


def _tokens() -> Iterator[Hostile]:
    yield Hostile("a name of 29,000 letters", "{me{" + "a" * 29_000 + "}}")
    yield Hostile("a word of 29,000 letters where none belongs", "{me(" + "a" * 29_000 + "}}")
    yield Hostile("a number of 29,000 digits", "{customers(first:" + "9" * 29_000 + "){totalCount}}")
    yield Hostile(
        "a time of 29,000 digits", '{customers(filter:{createdAt:{eq:"' + "9" * 29_000 + '"}}){totalCount}}'
    )
    yield Hostile(
        "29,000 letters for a time in variables",
        "query($t:DateTime){customers(filter:{updatedAt:{eq:$t}}){totalCount}}",
        {"t": "9" * 900_000},
    )
    yield Hostile("escapes", '{me(x:"' + "\\u0041" * 4_900 + '"){id}}')
    yield Hostile("lines of a block string", '{me(x:"""' + "\n a" * 9_900 + '"""){id}}')
    yield Hostile("comments", "{me" + "#\n" * 14_000 + "{id}}")
    yield Hostile("directives", "{me{id " + "@include(if:true) " * 320 + "}}")
    yield Hostile("unknown directives", "{me{id " + " ".join(f"@include{n}" for n in range(900)) + "}}")
    yield Hostile("variables that nobody asked for", "{me{id}}", {f"unknown{n}": [] for n in range(50_000)})
    nested: Any = 1
    for _ in range(500):
        nested = [nested]
    yield Hostile("500 lists in each other", "{me{id}}", {"v": nested})


def known() -> list[Hostile]:
    """Yield known attacks and variants of them."""
    return [*_filters(), *_introspections(), *_documents(), *_tokens()]


@cache
def _names() -> dict[str, list[str]]:
    types = schema()._schema.type_map
    return {
        "type": [name for name, kind in types.items() if isinstance(kind, HOLDERS)],
        "field": [name for kind in types.values() if isinstance(kind, HOLDERS) for name in kind.fields],
        "input": [name for name, kind in types.items() if isinstance(kind, GraphQLInputObjectType)],
        "argument": ["filter", "orderBy", "first", "after", "last", "before", "id", "input", "since", "name"],
        "condition": ["and", "or", "not", "eq", "in", "contains", "name", "id", "createdAt", "status"],
    }


HOLDERS = (GraphQLObjectType, GraphQLInterfaceType)
ROOTS = {"query": "Query", "mutation": "Mutation", "subscription": "Subscription"}


class Generator:
    """Generates a random request from a seed, with any nesting in the grammar and plausible names."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.left = self.random.choice((40, 150, 400, 700, 4_000))
        # How often a name does not fit its place.
        self.strange = self.random.choice((0.0, 0.0, 0.02, 0.5))
        self.wide = self.random.choice((2, 5, 40, 400))
        self.deep = self.random.choice((3, 8, 60))
        names = [self.name() for _ in range(self.random.choice((0, 3, 30)))]
        self.fragments = {name: self.random.choice((*_names()["type"], "Query", "Query")) for name in names}
        self.variables = [self.name() for _ in range(self.random.choice((0, 0, 2, 20)))]

    def request(self) -> Hostile:
        definitions = [self.operation(), *(self.fragment(*one) for one in self.fragments.items())]
        self.random.shuffle(definitions)
        self.left = self.random.choice((10, 1_000, 100_000))
        values = {name: self.json(0) for name in self.variables}
        return Hostile("", " ".join(definitions), values)

    def name(self, kind: str = "") -> str:
        """Return a name of a kind, sometimes misspelt, or random letters."""
        if kind and self.random.random() >= self.strange:
            return self.random.choice(_names()[kind])
        if kind and self.random.random() < 0.5:
            return self.random.choice(_names()[kind])[:-1] + self.random.choice(ascii_letters)
        return "".join(self.random.choices(ascii_letters, k=self.random.randint(5, 40)))

    def operation(self) -> str:
        kind = self.random.choice(("query", "query", "query", "mutation", "subscription"))
        declared = [
            f"${name}:{self.type()}{self.maybe(lambda: '=' + self.value(0, variables=False))}"
            for name in self.variables
        ]
        head = f"({' '.join(declared)})" if declared else ""
        return f"{kind}{head}{self.directives()}{self.selections(ROOTS[kind], 0)}"

    def type(self) -> str:
        return self.random.choice(("{}", "{}!", "[{}!]!", "[[{}]]")).format(self.name("input"))

    def fragment(self, name: str, on: str) -> str:
        # The operation may have used up the budget.
        self.left += self.random.choice((0, 0, 50))
        return f"fragment {name} on {on}{self.directives()}{self.selections(on, 0)}"

    def maybe(self, made: Callable[[], str], often: float = 0.3) -> str:
        return made() if self.random.random() < often else ""

    def several(self, made: Callable[[], str]) -> str:
        return " ".join(made() for _ in range(self.random.randint(1, self.wide)) if self.left > 0)

    def directives(self) -> str:
        made = ("include(if:true)", "skip(if:false)", self.name())
        return self.maybe(lambda: f"@{self.random.choice(made)}", 0.02)

    def selections(self, on: str, depth: int) -> str:
        inside = self.several(lambda: self.selection(on, depth + 1)) if depth < self.deep else ""
        return f"{{{inside or '__typename'}}}"

    def selection(self, on: str, depth: int) -> str:
        self.left -= 2
        kind = self.random.random()
        if kind < 0.1 and (fitting := [name for name, type_ in self.fragments.items() if type_ == on]):
            return f"...{self.random.choice(fitting)}{self.directives()}"
        if kind < 0.2:
            other = on if self.random.random() >= self.strange else self.name("type")
            return f"...{self.maybe(lambda: f'on {other}')}{self.selections(other, depth)}"
        if kind < 0.23 and on == "Query":
            return f"__schema{{types{{{self.several(self.described)}}}}}"
        return self.field(on, depth)

    def field(self, on: str, depth: int) -> str:
        kind = schema()._schema.type_map.get(on)
        known = kind.fields if isinstance(kind, HOLDERS) else {}
        if not known or self.random.random() < self.strange:
            return f"{self.name()}:{self.name('field')}({self.argument()}){self.directives()}"
        name, field = self.random.choice(list(known.items()))
        alias = self.maybe(lambda: f"{self.name()}:", 0.05)
        given = self.maybe(lambda: f"({self.several(self.argument)})", self.strange)
        inner = get_named_type(field.type)
        inside = "" if is_leaf_type(inner) else self.selections(inner.name, depth)
        return f"{alias}{name}{given}{self.directives()}{inside}"

    def described(self) -> str:
        self.left -= 4
        made = ("name", "fields{name args{name}}", "fields{type{fields{name}}}", "possibleTypes{name}")
        return self.random.choice((*made, f"{self.name()}:description"))

    def argument(self) -> str:
        self.left -= 2
        return f"{self.name('argument')}:{self.value(0)}"

    def value(self, depth: int, *, variables: bool = True) -> str:
        self.left -= 1
        kind = self.random.randrange(9 if depth < self.deep else 6)
        if kind == 0 and variables and self.variables:
            return f"${self.random.choice(self.variables)}"
        if kind == 6:
            return f"[{self.several(lambda: self.value(depth + 1, variables=variables))}]"
        if kind > 6:
            return f"{{{self.several(lambda: self.member(depth, variables))}}}"
        leaf = ("1", "-1.5e300", '"text"', '"""block"""', "ENUM", "true", "null", "{}", "[]", "9" * 40)
        return self.random.choice(leaf)

    def member(self, depth: int, variables: bool) -> str:
        return f"{self.name('condition')}:{self.value(depth + 1, variables=variables)}"

    def json(self, depth: int) -> Any:
        self.left -= 1
        kind = self.random.randrange(7 if depth < self.deep else 4)
        if kind >= 4 and self.left > 0:
            many = range(self.random.choice((0, 1, 3, self.wide, self.left)))
            if kind == 4:
                return [self.random.choice((1, "a", None, {}))] * len(many)
            members = (self.json(depth + 1) for _ in many if self.left > 0)
            return list(members) if kind == 5 else {self.name("condition"): one for one in members}
        return self.random.choice((1, 1.5, "text", None, True, {}, [], 2**60, "x" * 40))


def random_requests(seeds: range) -> Iterator[Hostile]:
    for seed in seeds:
        request = Generator(seed).request()
        yield Hostile(f"seed {seed}", request.text, request.variables)
