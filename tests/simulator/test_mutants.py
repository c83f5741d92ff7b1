"""The simulator finds bugs: a seed catches each deliberate breakage of the server.

`test_simulator.py` shows that the unbroken server keeps every promise with the same seeds.
"""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet

from tests.simulator.mutants import MUTANTS, Mutant
from tests.simulator.running import theatre
from tests.simulator.seeds import FEW
from tests.simulator.simulation import simulate
from tests.simulator.stage import sqlite_url

# A seed that catches each mutant. When the simulator's stories change, find new ones.
CAUGHT_BY = {
    "receipts are ignored": 2,
    "receipts are written after the commit": 1000,
    "edges never close": 2,
    "memberships never end": 2,
    "a renewed membership deletes its ended one": 5,
    "newly granted records are not sent": 2,
    "records of ended memberships are not removed": 2,
    "a record leaving one scope is removed although another holds it": 7,
    "a page's cursor is a bare seq": 2,
    "the snapshot is not pinned": 3,
    "a merge ignores the base": 21,
    "a late operation undoes its device's later work": 38,
    "unchanged values in an edit are ignored": 14,
    "a device conflicts with its own changes": 2,
    "a unit has no savepoint": 50,
    "an operation after a gap does not wait": 21,
    "dependents of a crashed operation are refused": 2066,
    "a fact on a changed plan is refused": 105,
    "deletions are sent as changes": 2,
    "changed memberships are not cached": 2,
    "a snapshot is read across the organisations": 2,
    "facts find only presently visible records": 2,
    "cursors stay valid after a restore": 49,
    "numbers are reused after a restore": 49,
    "devices never learn that history was lost": 49,
    "devices never learn of history lost within the epoch": 71,
    "operations in a backup give no next number": 9,
    "a step after a lost one is refused": 49,
    "a reversal does not change the level": 48,
    "a repeated movement is refused": 278,
    "a stream resumes at the head of the log": 26,
    "a stream outlives its device": 26,
    "a retried operation leaves no receipt": 16,
    "dependents of a dismissed operation go on waiting": 16,
    "a cursor into lost history stays valid": 51,
}
ALWAYS = ("edges never close",)


def test_every_mutant_has_a_seed_of_the_corpus() -> None:
    assert {mutant.what for mutant in MUTANTS} == CAUGHT_BY.keys()
    assert set(CAUGHT_BY.values()) <= set(FEW)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_the_server_still_has_the_text_that_a_mutant_replaces(mutant: Mutant) -> None:
    with mutant.applied():
        pass


def _shown(mutant: Mutant) -> ParameterSet:
    marks = () if mutant.what in ALWAYS else pytest.mark.prove("One more mutant.")
    return pytest.param(mutant, id=mutant.what, marks=marks)


@pytest.mark.slow("A seed runs until the bug shows.")
@pytest.mark.parametrize("mutant", [_shown(mutant) for mutant in MUTANTS])
async def test_every_mutant_is_caught(mutant: Mutant) -> None:
    with sqlite_url() as url:
        async with theatre(url) as stage:
            with mutant.applied():
                caught = await simulate(stage, CAUGHT_BY[mutant.what])
    assert caught.violation is not None
