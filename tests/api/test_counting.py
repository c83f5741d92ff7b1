"""How a document and its variables are counted, and where each limit lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from graphql import parse

from tournee.api import limits


def limits_of(document: str) -> list[str]:
    """Return the messages about a document before it is validated."""
    parsed = parse(document)
    return [error.message for error in limits.exceeded(parsed, limits.sizes(parsed).values())]


def deep(levels: int) -> str:
    return "a{" * (levels - 1) + "a" + "}" * (levels - 1)


def many(word: str, times: int) -> str:
    return " ".join(word.replace("#", str(number)) for number in range(times))


def nested(opening: str, times: int, inner: str) -> str:
    closing = "]" if opening == "[" else "}"
    return opening * times + inner + closing * times


ON_T = "fragment F on T{"

# Documents with n of something: allowed at the limit, refused one above it.
SHAPES: dict[str, tuple[str, Callable[[int], str], int]] = {
    "depth": ("levels of depth", lambda n: f"{{{deep(n)}}}", 12),
    "depth of the first": ("levels of depth", lambda n: f"{{{deep(n)} a}}", 12),
    "depth of the last": ("levels of depth", lambda n: f"{{a {deep(n)}}}", 12),
    "depth in an inline fragment": ("levels of depth", lambda n: f"{{...{{{deep(n)}}} a}}", 12),
    "depth in a fragment": ("levels of depth", lambda n: f"{{a{{...F}} a}} {ON_T}{deep(n - 1)}}}", 12),
    "depth of the second operation": ("levels of depth", lambda n: f"query A{{a}} query B{{{deep(n)}}}", 12),
    "nested inline fragments": ("levels of nesting", lambda n: f"{{{nested('...{', n - 1, 'a')}}}", 50),
    "nested fragments": ("levels of nesting", lambda n: f"{{...F}} {ON_T}{nested('...{', n - 3, 'a')}}}", 50),
    "nested lists": ("levels of nesting", lambda n: f"{{a(x:{nested('[', n - 2, '1')})}}", 50),
    "nested objects": ("levels of nesting", lambda n: f"{{a(x:{nested('{y:', n - 2, '1')})}}", 50),
    "fields": ("fields", lambda n: f"{{{many('a', n)}}}", 1000),
    "fields of fragments": ("fields", lambda n: f"{{a ...F}} {ON_T}{many('a', n - 1)}}}", 1000),
    "fields of fragments in fragments": (
        "fields",
        lambda n: f"{{...F ...F {many('a', n - 800)}}} {ON_T}...G ...G}} fragment G on T{{{many('a', 200)}}}",
        1000,
    ),
    "aliases": ("aliases", lambda n: f"{{{many('a#:a', n)}}}", 30),
    "aliases in inline fragments": ("aliases", lambda n: f"{{...{{{many('a#:a', n - 1)}}} b:a}}", 30),
    "aliases of fragments": ("aliases", lambda n: f"{{b:a{{...F}}}} {ON_T}{many('a#:a', n - 1)}}}", 30),
    "aliases of introspection": ("aliases", lambda n: f"{{__schema{{types{{{many('a#:name', n)}}}}}}}", 30),
    "directives of a field": ("directives", lambda n: f"{{a {many('@d', n)}}}", 50),
    "directives of an operation": ("directives", lambda n: f"query {many('@d', n - 1)} {{a @d}}", 50),
    "directives of an inline fragment": ("directives", lambda n: f"{{... {many('@d', n)} {{a}}}}", 50),
    "directives of a spread": ("directives", lambda n: f"{{...F {many('@d', n)}}} {ON_T}a}}", 50),
    "directives of a fragment": ("directives", lambda n: f"{{...F}} {ON_T[:-1]} {many('@d', n)}{{a}}", 50),
    "directives of a variable": ("directives", lambda n: f"query($v:T {many('@d', n)}){{a}}", 50),
    "variables": ("variables", lambda n: f"{{a(x:[{many('$v#', n)}])}}", 100),
    "variables of fragments": (
        "variables",
        lambda n: f"{{a(x:$w) ...F}} {ON_T}a(x:[{many('$v#', n - 1)}])}}",
        100,
    ),
    "members of a list": ("values", lambda n: f"{{a(x:[{many('1', n - 1)}])}}", 5000),
    "empty objects": ("values", lambda n: f"{{a(x:{{y:[{many('{}', n - 2)}]}})}}", 5000),
    "fields of an object": ("values", lambda n: f"{{a(x:{{{many('y#:1', n - 1)}}})}}", 5000),
    "values of a directive": ("values", lambda n: f"{{a @d(x:[{many('1', n - 1)}])}}", 5000),
    "values of fragments": ("values", lambda n: f"{{a(x:1) ...F}} {ON_T}a(x:[{many('1', n - 2)}])}}", 5000),
    "values of a default": ("values", lambda n: f"query($v:T=[{many('1', n - 1)}]){{a}}", 5000),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_each_limit_holds_exactly(shape: str) -> None:
    what, made, most = SHAPES[shape]
    assert limits_of(made(most)) == []
    assert limits_of(made(most + 1)) == [f"An operation has at most {most} {what}."]


@pytest.mark.parametrize(
    "word",
    ["{%s}", "{%s:a}", "{...%s}", "{...on %s{a}}", "{a(%s:1)}", "{a(x:{%s:1})}", "{a(x:%s)}", "{a @%s}"],
)
@pytest.mark.parametrize("letter", ["a", "1", "-1."])
def test_names_and_numbers_have_a_maximum_length(word: str, letter: str) -> None:
    if letter != "a" and word != "{a(x:%s)}":
        letter = "a"
    assert limits_of(word % letter.ljust(100, letter[-1] if letter == "a" else "1")) == []
    assert limits_of(word % letter.ljust(101, letter[-1] if letter == "a" else "1")) == [
        "Names and numbers have at most 100 characters."
    ]


def variables_of(value: Any, uses: int = 1) -> list[str]:
    size = limits.Size(uses={"v": uses})
    return [error.message for error in limits.exceeded_by({"v": value}, size)]


TOO_MANY = ["An operation has at most 5000 values; members of lists count."]
VARIABLES: dict[str, Callable[[int], Any]] = {
    "members": lambda n: [1] * (n - 1),
    "empty objects": lambda n: [{}] * (n - 1),
    "members of members": lambda n: [[1] * (n - 102), *[[]] * 100],
    "fields": lambda n: {str(number): number for number in range(n - 1)},
    "lists in fields": lambda n: {"in": [1] * (n - 2)},
}


@pytest.mark.parametrize("shape", VARIABLES)
def test_every_value_in_variables_counts(shape: str) -> None:
    assert variables_of(VARIABLES[shape](5000)) == []
    assert variables_of(VARIABLES[shape](5001)) == TOO_MANY


def test_a_variable_counts_once_per_use_and_once_when_unused() -> None:
    assert variables_of([1] * 499, uses=10) == []
    assert variables_of([1] * 500, uses=10) == TOO_MANY
    assert variables_of([1] * 5000, uses=0) == TOO_MANY


def test_values_in_the_document_and_its_variables_add_up() -> None:
    assert limits.exceeded_by({"v": [1] * 9}, limits.Size(values=4990)) == []
    assert len(limits.exceeded_by({"v": [1] * 10}, limits.Size(values=4990))) == 1
    assert len(limits.exceeded_by({"v": [1] * 4, "w": [1] * 4}, limits.Size(values=4991))) == 1


NESTED: dict[str, Callable[[Any], Any]] = {
    "lists": lambda value: [value],
    "objects": lambda value: {"a": value},
    "lists beside others": lambda value: [1, value],
}


@pytest.mark.parametrize("shape", NESTED)
def test_variables_are_nested_at_most_32_levels_deep(shape: str) -> None:
    value: Any = 1
    for _ in range(32):
        value = NESTED[shape](value)
    assert variables_of(value) == []
    assert variables_of(NESTED[shape](value)) == ["Variables are nested at most 32 levels deep."]
