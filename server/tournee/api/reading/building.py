"""The function that builds an answer from rows: Python, written for one plan.

Generated code takes half the time of nested closures. It holds no text of the request but response keys, as
Python writes them; everything else is a number or a name made here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson


class Code:
    """The source of one builder: functions, and the objects that they use."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._objects: dict[str, Any] = {"loads": orjson.loads}
        self._names: dict[int, str] = {}

    def use(self, thing: Any) -> str:
        """Return the name under which the code knows an object."""
        if id(thing) not in self._names:
            name = self._names[id(thing)] = f"o{len(self._objects)}"
            self._objects[name] = thing
        return self._names[id(thing)]

    def function(self, name: str, arguments: str, *lines: str) -> None:
        self._lines += [f"def {name}({arguments}):", *(f"    {line}" for line in lines)]

    def made(self, name: str, *given: str) -> Callable[..., Any]:
        """Compile the source; return the maker of one of its functions, which takes what the functions are
        given by these names.
        """
        inside = [f"    {line}" for line in [*self._lines, f"return {name}"]]
        source = "\n".join([f"def make({', '.join(given)}):", *inside])
        exec(compile(source, "<answer>", "exec"), self._objects)  # noqa: S102 - see above
        make: Callable[..., Any] = self._objects["make"]
        return make


def dictionary(parts: Mapping[str, str]) -> str:
    """Return the source of a dict of these expressions."""
    return "{" + ", ".join(f"{key!r}: {value}" for key, value in parts.items()) + "}"
