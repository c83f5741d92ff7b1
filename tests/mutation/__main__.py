"""`make mutate FILES=server/tournee/work`: break rules on purpose and print those that no test noticed.

FILES are files and folders, N is the number of breakages to draw (30), SEED the random seed (1), PROCESSES
the number tried at once (2). Exits with 1 when fewer than nine in ten are noticed.

The tests run on SQLite in a copy of the tree; this tree is never changed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutation.breakages import Breakage, sample
from tests.mutation.tree import Tree
from tests.support.ending import end_tidily

LEAST = 0.9


def chosen(names: Iterable[str]) -> list[Path]:
    """Return the Python files among these files and folders, without demo data, which is no rule."""
    places = [Path(name) for name in names]
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*.py"))]
    files = [file for file in files if "demo" not in file.parts and file.stem != "demo"]
    if not files:
        sys.exit("Name files or folders: make mutate FILES=server/tournee/work")
    return files


def survivors(drawn: list[Breakage], processes: int) -> Iterator[Breakage]:
    """Yield the breakages that no test notices; print the result of each."""
    with (
        tempfile.TemporaryDirectory(prefix="tournee-mutate-") as folder,
        ThreadPoolExecutor(processes) as pool,
    ):
        trees: SimpleQueue[Tree] = SimpleQueue()
        for number in range(processes):
            trees.put(Tree.copy(Path(folder, str(number))))

        def attempt(breakage: Breakage) -> bool:
            tree = trees.get()
            try:
                return tree.notices(breakage)
            finally:
                trees.put(tree)

        for number, (breakage, noticed) in enumerate(zip(drawn, pool.map(attempt, drawn), strict=True), 1):
            print(f"{number}/{len(drawn)} {'noticed ' if noticed else 'SURVIVED'} {breakage}", flush=True)
            if not noticed:
                yield breakage


def main() -> int:
    wanted = {name: os.environ.get(name) for name in ("FILES", "N", "SEED", "PROCESSES")}
    drawn = sample(chosen((wanted["FILES"] or "").split()), int(wanted["N"] or 30), int(wanted["SEED"] or 1))
    found = list(survivors(drawn, int(wanted["PROCESSES"] or 2)))
    share = 1 - len(found) / len(drawn)
    print(f"\n{len(drawn) - len(found)} of {len(drawn)} breakages were noticed: {share:.0%}.")
    for breakage in found:
        print(breakage, *breakage.diff(), sep="\n")
    return 0 if share >= LEAST else 1


if __name__ == "__main__":
    end_tidily()
    sys.exit(main())
