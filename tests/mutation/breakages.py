"""The breakages that Cosmic Ray can make in a file, and a sample of them."""

from __future__ import annotations

import ast
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

# Without a decorator most files fail to import, which proves nothing about a rule. The other two
# operators need to be given a variable.
LEFT_OUT = {"core/RemoveDecorator", "core/VariableReplacer", "core/VariableInserter"}
OPERATORS = {name: get_operator(name)() for name in operator_names() if name not in LEFT_OUT}

Place = tuple[int, int]


@dataclass(frozen=True)
class Breakage:
    """One place in a file, and the change made to it."""

    file: Path
    place: Place
    operator: str
    occurrence: int
    whole: str = field(repr=False)

    def broken(self) -> str:
        """Return the file's text with this breakage in it."""
        text: str | None = mutate_code(self.whole, OPERATORS[self.operator], self.occurrence)
        assert text is not None
        return text

    @property
    def function(self) -> str:
        """Return the name of the innermost function or class around the place; empty at the top."""
        around = [
            node
            for node in ast.walk(ast.parse(self.whole))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and min(made.lineno for made in (*node.decorator_list, node))
            <= self.place[0]
            <= (node.end_lineno or 0)
        ]
        return max(around, key=lambda node: node.lineno).name.lstrip("_") if around else ""

    def diff(self) -> list[str]:
        """Return the lines that change, old ones with a minus and new ones with a plus."""
        lines = unified_diff(self.whole.splitlines(), self.broken().splitlines(), lineterm="", n=0)
        return [line for line in lines if not line.startswith(("---", "+++", "@@"))]

    def __str__(self) -> str:
        return f"{self.file}:{self.place[0]} {self.operator.removeprefix('core/')}"


def sample(files: Iterable[Path], count: int, seed: int) -> list[Breakage]:
    """Return that many breakages, each at another place; the same seed and files give the same ones.

    Places are drawn first. A comparison can be broken in seven ways and a boolean in one, and would
    otherwise be drawn seven times as often.
    """
    places: dict[tuple[Path, Place], list[Breakage]] = defaultdict(list)
    for file in sorted(files):
        for breakage in breakages(file):
            places[file, breakage.place].append(breakage)
    dice = random.Random(seed)
    drawn = dice.sample(sorted(places), min(count, len(places)))
    return [dice.choice(places[place]) for place in drawn]


def breakages(file: Path) -> Iterator[Breakage]:
    """Yield every breakage of a file, except in annotations and `frozen=True`, which do nothing."""
    text = file.read_text()
    nodes = list(ast_nodes(get_ast(text)))
    ignored = _idle(text)
    for name, operator in OPERATORS.items():
        positions = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (start, _) in enumerate(positions):
            if not any(first <= start < last for first, last in ignored):
                yield Breakage(file, start, name, occurrence, text)


def _idle(text: str) -> list[tuple[Place, Place]]:
    spans = []
    for node in ast.walk(ast.parse(text)):
        found = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        found += [made for made in getattr(node, "decorator_list", ()) if "dataclass" in ast.unparse(made)]
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            found.append(node)
        spans += [
            ((part.lineno, part.col_offset), (part.end_lineno or 0, part.end_col_offset or 0))
            for part in found
            if isinstance(part, ast.expr | ast.stmt)
        ]
    return spans
