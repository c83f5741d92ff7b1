"""Random GraphQL queries over the whole schema: valid ones, with arguments that are right and wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    is_required_argument,
)

from tournee.api.mapping import Computed, source_of

MOST_FIELDS = 60


@dataclass
class Query:
    """A document, its variables, and how it was made."""

    text: str
    variables: dict[str, Any]


@dataclass
class Values:
    """What arguments are taken from: ids and cursors that exist, texts that occur."""

    ids: list[str]
    cursors: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


NUMBERS = [0, 1, -1, 7, 2**31 - 1, -(2**31)]
TIMES = ["2026-11-23T09:12:00Z", "2020-01-01T00:00:00.000001+02:00", "9999-12-31T23:59:59Z"]
DAYS = ["2026-11-23", "0001-01-01", "9999-12-31"]
CURSORS = ["", "é", "WzFd", "bnVsbA"]


class Asking:
    """Makes queries; the same seed makes the same ones."""

    def __init__(self, schema: GraphQLSchema, values: Values, seed: int) -> None:
        self.schema = schema
        self.values = values
        self.chance = random.Random(seed)

    def query(self) -> Query:
        return _Writing(self).query()


class _Writing:
    """One query being written."""

    def __init__(self, asking: Asking) -> None:
        self.schema = asking.schema
        self.values = asking.values
        self.chance = asking.chance
        self.variables: dict[str, Any] = {}
        self.declared: list[str] = []
        self.fragments: list[str] = []
        self.fields = 0

    def query(self) -> Query:
        root = self.schema.query_type
        assert root is not None
        names = [name for name, one in root.fields.items() if source_of(one) is not None]
        parts = []
        for number in range(self.chance.choice([1, 1, 1, 2, 3])):
            name = self.chance.choice(names)
            parts.append(f"r{number}: {self.field(root.fields[name], name, 3)}")
        declared = f"({', '.join(self.declared)})" if self.declared else ""
        text = " ".join([f"query Q{declared} {{ {' '.join(parts)} }}", *self.fragments])
        return Query(text, self.variables)

    def likely(self, percent: int) -> bool:
        return self.chance.randrange(100) < percent

    # -- selections --------------------------------------------------------------------------------

    def field(self, definition: GraphQLField, name: str, depth: int) -> str:
        self.fields += 1
        kind: Any = get_named_type(definition.type)
        given = self.arguments(definition)
        inside = "" if is_leaf_type(kind) else f" {{ {self.selection(kind, depth)} }}"
        return f"{name}{given}{self.directive()}{inside}"

    def selection(self, kind: GraphQLObjectType, depth: int) -> str:
        if kind.name.endswith("Connection"):
            return self.page(kind, depth)
        chosen = self.chance.sample(sorted(kind.fields), min(len(kind.fields), self.chance.randint(1, 5)))
        parts = [self.member(kind, name, depth) for name in chosen]
        if self.likely(15):
            parts.append("__typename")
        if self.likely(15):
            parts.append(self.fragment(kind, depth))
        if self.likely(10):
            parts.append(
                "... on Node { id }" if "id" in kind.fields and kind.interfaces else "... { __typename }"
            )
        return " ".join(filter(None, parts)) or "__typename"

    def member(self, kind: GraphQLObjectType, name: str, depth: int) -> str:
        definition = kind.fields[name]
        named = get_named_type(definition.type)
        source = source_of(definition)
        if source is None:
            # The engine does not answer these; a few show that it knows.
            return "" if not is_leaf_type(named) or definition.args or self.likely(98) else name
        if isinstance(source, Computed):
            return self.computed(definition, name, depth)
        if not is_leaf_type(named) and (depth == 0 or self.fields > MOST_FIELDS):
            return ""
        written = self.field(definition, name, depth - (not is_leaf_type(named)))
        if definition.args or self.likely(10):
            self.fields += 1
            return f"a{self.fields}: {written}"
        return written

    def computed(self, definition: GraphQLField, name: str, depth: int) -> str:
        named = get_named_type(definition.type)
        if any(is_required_argument(one) for one in definition.args.values()) or self.likely(30):
            return ""
        if is_leaf_type(named):
            return name
        if not is_object_type(named) or depth == 0:
            return f"{name} {{ __typename }}"
        self.fields += 1
        return f"a{self.fields}: {name} {{ {self.selection(named, depth - 1)} }}"

    def page(self, kind: GraphQLObjectType, depth: int) -> str:
        node: Any = get_named_type(kind.fields["nodes"].type)
        parts = []
        if self.likely(70):
            parts.append(f"nodes{self.directive()} {{ {self.selection(node, depth)} }}")
        if self.likely(40):
            inside = f"node {{ {self.selection(node, depth)} }}" if self.likely(40) else "__typename"
            parts.append(f"edges {{ cursor {inside} }}")
        if self.likely(40):
            parts.append("pageInfo { hasNextPage hasPreviousPage startCursor endCursor }")
        if self.likely(30):
            exact = self.chance.choice(("", "(exact: true)", "(exact: false)"))
            parts.append(f"totalCount{exact}{self.directive()}")
        return " ".join(parts) or "totalCount"

    def fragment(self, kind: GraphQLObjectType, depth: int) -> str:
        leaves = [
            name
            for name, one in kind.fields.items()
            if is_leaf_type(get_named_type(one.type)) and not one.args and source_of(one) is not None
        ]
        if not leaves:
            return ""
        name = f"F{len(self.fragments)}"
        inside = " ".join(self.chance.sample(leaves, min(3, len(leaves))))
        self.fragments.append(f"fragment {name} on {kind.name} {{ {inside} }}")
        return f"...{name}{self.directive()}"

    def directive(self) -> str:
        if not self.likely(6):
            return ""
        value = self.chance.choice([True, False])
        given = self.variable("Boolean!", value) if self.likely(60) else str(value).lower()
        return f" @{self.chance.choice(['skip', 'include'])}(if: {given})"

    # -- arguments -------------------------------------------------------------------------------

    def variable(self, kind: str, value: Any) -> str:
        name = f"v{len(self.variables)}"
        self.variables[name] = value
        self.declared.append(f"${name}: {kind}")
        return f"${name}"

    def arguments(self, definition: GraphQLField) -> str:
        makers: dict[str, Callable[[Any], tuple[bool, Any]]] = {
            "id": lambda _: (True, self.id()),
            "first": lambda _: (self.likely(60), self.number_of_rows()),
            "last": lambda _: (self.likely(12), self.number_of_rows()),
            "after": lambda _: (self.likely(4), self.cursor()),
            "before": lambda _: (self.likely(2), self.cursor()),
            "orderBy": lambda kind: (self.likely(40), self.order(kind)),
            "filter": lambda kind: (self.likely(40), self.filter(kind, 5 if self.likely(5) else 3)),
        }
        given = []
        for name, argument in definition.args.items():
            is_given, value = makers[name](get_named_type(argument.type))
            if is_given:
                given.append(f"{name}: {self.written(value, argument.type)}")
        return f"({', '.join(given)})" if given else ""

    def written(self, value: Any, kind: GraphQLInputType) -> str:
        """Write a value as a literal, as a variable, or as a literal with variables in it."""
        if self.likely(40) and not (value is None and is_non_null_type(kind)):
            return self.variable(str(kind), value)
        named = get_named_type(kind)
        if value is None:
            return "null"
        if isinstance(value, list):
            inner = _item(kind)
            return f"[{', '.join(self.written(one, inner) for one in value)}]"
        if isinstance(value, dict):
            assert isinstance(named, GraphQLInputObjectType)
            parts = [f"{name}: {self._member(named, name, one)}" for name, one in value.items()]
            return f"{{{', '.join(parts)}}}"
        return str(value) if isinstance(named, GraphQLEnumType) else _literal(value)

    def _member(self, kind: GraphQLInputObjectType, name: str, value: Any) -> str:
        # A variable in a member of a @oneOf must not be nullable.
        own = kind.fields[name].type
        if kind.is_one_of:
            named = get_named_type(own)
            return self.variable(f"{named}!", value) if self.likely(40) else self.written(value, named)
        return self.written(value, own)

    def number_of_rows(self) -> Any:
        return self.chance.choice([0, 1, 2, 3, 5, 5, 20, None, *([-1, 501] if self.likely(10) else [])])

    def id(self) -> str:
        return self.chance.choice(self.values.ids) if self.likely(85) else self.chance.choice(["", "nobody"])

    def cursor(self) -> Any:
        known = self.values.cursors if self.likely(85) else []
        return self.chance.choice([*(known or CURSORS), *([None] if self.likely(10) else [])])

    def order(self, kind: GraphQLInputObjectType) -> Any:
        number = self.chance.choice([0, 1, 1, 1, 2, 3, *([6] if self.likely(10) else [])])
        directions = [self.chance.choice(["ASC", "DESC"]) for _ in range(number)]
        return [self.term(kind, one, 4 if self.likely(5) else 2) for one in directions]

    def term(self, kind: GraphQLInputObjectType, direction: str, depth: int) -> Any:
        """Return an entry of `orderBy`, by a field or through relations."""
        names = [name for name, one in kind.fields.items() if depth or is_leaf_type(get_named_type(one.type))]
        name = self.chance.choice(sorted(names))
        named = get_named_type(kind.fields[name].type)
        if isinstance(named, GraphQLInputObjectType):
            return {name: self.term(named, direction, depth - 1)}
        return {name: direction}

    def filter(self, kind: GraphQLInputObjectType, depth: int) -> Any:
        if self.likely(4):
            return None
        found: dict[str, Any] = {}
        for name in self.chance.sample(sorted(kind.fields), self.chance.choice([0, 1, 1, 2])):
            if name in ("and", "or"):
                found[name] = [
                    self.filter(kind, depth - 1) or {}
                    for _ in range(self.chance.randint(0, 2) if depth > 0 else 0)
                ]
            elif name == "not":
                found[name] = self.filter(kind, depth - 1) if depth > 0 else {}
            else:
                found[name] = self.condition(get_named_type(kind.fields[name].type), depth)
        return found

    def condition(self, kind: Any, depth: int) -> Any:
        """Return a condition on a field, on a related row, or on the rows of a list."""
        if "and" in kind.fields:
            return self.filter(kind, depth - 1) if depth > 0 else {}
        if "some" in kind.fields:
            names = self.chance.sample(sorted(kind.fields), self.chance.choice([0, 1, 1, 2]))
            return {name: self.condition(get_named_type(kind.fields[name].type), depth) for name in names}
        return self.comparison(kind)

    def comparison(self, kind: Any) -> Any:
        names = self.chance.sample(sorted(kind.fields), self.chance.choice([0, 1, 1, 1, 2]))
        return {name: self.operand(kind.fields[name].type) for name in names}

    def operand(self, kind: GraphQLInputType) -> Any:
        if self.likely(8) and not is_non_null_type(kind):
            return None
        if is_list_type(kind):
            return [self.leaf(get_named_type(kind)) for _ in range(self.chance.randint(0, 6))]
        return self.leaf(get_named_type(kind))

    def leaf(self, named: Any) -> Any:
        if isinstance(named, GraphQLEnumType):
            return self.chance.choice(sorted(named.values))
        made: dict[str, Callable[[], Any]] = {
            "ID": self.id,
            "Boolean": lambda: self.likely(50),
            "Int": lambda: self.chance.choice(NUMBERS),
            "Long": lambda: self.chance.choice([*NUMBERS, 2**53 - 1]),
            "Float": lambda: self.chance.choice([0.5, -1.25, 1e22, 3, 0.1]),
            "DateTime": lambda: self.chance.choice(TIMES),
            "Date": lambda: self.chance.choice(DAYS),
            "String": lambda: self.chance.choice([*self.values.texts, "e", "", "%", "_", "/", "\\"]),
        }
        return made[named.name]()


def _item(kind: GraphQLInputType) -> Any:
    inner: Any = kind.of_type if is_non_null_type(kind) else kind
    return inner.of_type if is_list_type(inner) else inner


def _literal(value: Any) -> str:
    if isinstance(value, str):
        escaped = "".join(
            one if one.isalnum() or one in " -_:.+%/" else f"\\u{{{ord(one):x}}}" for one in value
        )
        return f'"{escaped}"'
    return str(value).lower() if isinstance(value, bool) else repr(value)
