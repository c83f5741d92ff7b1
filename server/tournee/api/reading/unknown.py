"""Variables whose values a plan does not know: it holds parameters in their places.

A plan fits every set of variables of the same shape: the same keys, the same nulls, lists of about the same
length. Where the SQL depends on a value itself (`first`, a direction, `@include`), whatever compares it meets
an `Unknown`, which raises `Needed`. From then on the value is part of the shape.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Any, NoReturn, TypeAlias

import orjson
from sqlalchemy import bindparam

# The way to a value: the variable's name, then keys and places in lists.
Path: TypeAlias = tuple[str | int, ...]
Read: TypeAlias = Callable[[Any], Any]


class Doubt(Exception):
    """The ordinary executor has to answer."""


class How(Enum):
    """What of a value a plan depends on."""

    VALUE = "value"
    NULLS = "nulls"


class Needed(Exception):
    """A plan depends on this value, so the value belongs to its key."""

    def __init__(self, path: Path, how: How) -> None:
        super().__init__(path, how)
        self.path = path
        self.how = how


class Parameters:
    """The parameters of a plan: for each its name, the way to its value, and how the value is read."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Path, Read]] = {}
        # What is read only to find out whether it is right.
        self._checked: list[tuple[Path, Read]] = []

    def add(self, path: Path, read: Read) -> str:
        name = f"v{len(self._known)}"
        self._known[name] = path, read
        return name

    def check(self, path: Path, read: Read) -> None:
        self._checked.append((path, read))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._known)

    def bind(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values; raises whatever the executor would raise about one of them."""
        for path, read in self._checked:
            read(_at(variables, path))
        return {name: read(_at(variables, path)) for name, (path, read) in self._known.items()}


def _at(value: Any, path: Path) -> Any:
    for step in path:
        # A list is filled up by repeating its last value.
        value = value[min(step, len(value) - 1) if isinstance(step, int) else step]
    return value


class Unknown:
    """A value that is not null, and not known. `nulls` says which values of a cursor are null."""

    __slots__ = ("nulls", "parameters", "path")

    def __init__(self, path: Path, parameters: Parameters, nulls: tuple[bool, ...] | None) -> None:
        self.path = path
        self.parameters = parameters
        self.nulls = nulls

    def parameter(self, read: Read, type_: Any = None) -> Any:
        """Return a parameter for the value, as `read` makes it."""
        return bindparam(self.parameters.add(self.path, read), type_=type_)

    def parts(self, split: Callable[[str], list[Any]], nullable: list[bool]) -> list[Any]:
        """Return a parameter for each value that this cursor holds, None for nulls."""
        nulls = self.nulls
        if nulls is None and any(nullable):
            raise Needed(self.path, How.NULLS)
        if nulls is not None and len(nulls) != len(nullable):
            raise Doubt("the cursor belongs to another order")
        self.parameters.check(self.path, split)
        return [
            None if nulls is not None and nulls[place] else self.parameter(partial(_part, split, place))
            for place in range(len(nullable))
        ]

    def _needed(self, *_: object) -> NoReturn:
        raise Needed(self.path, How.VALUE)

    __bool__ = __eq__ = __hash__ = __len__ = __iter__ = _needed
    __lt__ = __le__ = __gt__ = __ge__ = __int__ = __index__ = __str__ = _needed


def _part(split: Callable[[str], list[Any]], place: int, text: str) -> Any:
    return split(text)[place]


def bound(value: Any, read: Read, type_: Any) -> Any:
    """Return the value as `read` makes it, or a parameter of this type in its place."""
    return value.parameter(read, type_) if isinstance(value, Unknown) else read(value)


class Shape:
    """What plans know of an operation's variables: their shape, and the values that `needs` names."""

    def __init__(self, needs: Mapping[Path, How]) -> None:
        self._needs = needs

    def of(self, value: Any, path: Path = ()) -> Any:
        """Return what can be compared of a value; equal for values that one plan fits."""
        if value is None:
            return None
        if isinstance(value, dict):
            return tuple((name, self.of(one, (*path, name))) for name, one in value.items())
        if isinstance(value, list):
            return (
                _filled(value)
                if _is_plain(value)
                else tuple(self.of(one, (*path, at)) for at, one in enumerate(value))
            )
        how = self._needs.get(path) if self._needs else None
        if how is None:
            return _SOME
        return (How.VALUE, value) if how is How.VALUE else _nulls(value)

    def hidden(self, value: Any, parameters: Parameters, path: Path = ()) -> Any:
        """Return the same value, with an `Unknown` in place of everything that `of` leaves out."""
        if value is None:
            return None
        if isinstance(value, dict):
            return {name: self.hidden(one, parameters, (*path, name)) for name, one in value.items()}
        if isinstance(value, list):
            places = range(_filled(value)) if _is_plain(value) else range(len(value))
            return [self.hidden(value[min(at, len(value) - 1)], parameters, (*path, at)) for at in places]
        how = self._needs.get(path)
        if how is How.VALUE:
            return value
        return Unknown(path, parameters, _nulls(value) if how is How.NULLS else None)


_SOME = "some"
_MOST_IN_CURSOR = 10


def _is_plain(values: list[Any]) -> bool:
    """Return whether a list holds values, not objects; a null among values is rare."""
    if any(isinstance(one, dict) for one in values):
        return False
    if any(one is None or isinstance(one, list) for one in values):
        raise Doubt("a list holds nulls or lists")
    return True


def _filled(values: list[Any]) -> int:
    """Return a list's length, rounded up to a power of two, so that few plans fit all lengths."""
    return 0 if not values else 1 << (len(values) - 1).bit_length()


def _nulls(cursor: Any) -> tuple[bool, ...]:
    """Return which values of a cursor are null."""
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        _, *values = orjson.loads(text)
    except (ValueError, TypeError, AttributeError):
        raise Doubt("no cursor") from None
    if len(values) > _MOST_IN_CURSOR:
        raise Doubt("no cursor")
    return tuple(value is None for value in values)
