"""The simulator finds bugs: each deliberate breakage of the server is caught by a seed with which the
server as it is keeps every promise; that is tested next door."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet

from tests.simulator.mutants import MUTANTS, Mutant
from tests.simulator.running import theatre
from tests.simulator.seeds import FEW
from tests.simulator.simulation import simulate
from tests.simulator.stage import sqlite_url

# A seed that catches it. When the simulator tells its stories another way: find others.
CAUGHT_BY = {
    "receipts are not looked at": 2,
    "receipts are written after the commit": 1000,
    "edges stay open": 2,
    "memberships are not ended": 2,
    "an ended membership is forgotten when it begins again": 5,
    "what was granted does not come": 2,
    "what was lost does not go": 2,
    "what went from one scope goes though another holds it": 7,
    "a page ends at a bare seq": 2,
    "the snapshot is not pinned": 3,
    "a merge does not look at the base": 50,
    "what waited takes back what was done after it": 38,
    "what an edit leaves as it stood was never said": 14,
    "one's own change is another's": 2,
    "a unit has no savepoint": 50,
    "a gap does not wait": 21,
    "what follows a bug of ours is refused": 2066,
    "a fact on a plan that changed is refused": 50,
    "deletions are told as changes": 2,
    "nobody remembers whose scopes changed": 2,
    "a snapshot is read across the organisations": 2,
    "facts are found only where one sees now": 2,
    "after a restored backup cursors hold on": 49,
    "after a restored backup numbers go on from there": 49,
    "no device is told that its history is lost": 49,
    "a device is not told what was lost within the epoch": 71,
    "what a backup knows tells no number": 9,
    "a step that follows a lost one is refused": 49,
    "a reversal leaves the level as it is": 48,
    "a movement that is told again is refused": 278,
    "a stream goes on where the log is now": 26,
    "a stream outlives its device": 26,
    "what is retried leaves no receipt": 16,
    "what is dismissed is not given up": 16,
    "a cursor holds though what it showed is lost": 51,
}
ALWAYS = ("receipts are not looked at", "edges stay open")
SHOWN = [mutant for mutant in MUTANTS if mutant.what in CAUGHT_BY]


def test_at_least_ten_are_shown_by_seeds_that_are_clean_without_them() -> None:
    assert len(SHOWN) == len(CAUGHT_BY) >= 10
    assert set(CAUGHT_BY.values()) <= set(FEW)


def _shown(mutant: Mutant) -> ParameterSet:
    marks = () if mutant.what in ALWAYS else pytest.mark.prove("One more bug that a seed finds.")
    return pytest.param(mutant, id=mutant.what, marks=marks)


@pytest.mark.parametrize("mutant", [_shown(mutant) for mutant in SHOWN])
async def test_a_mutant_is_caught(mutant: Mutant) -> None:
    with sqlite_url() as url:
        async with theatre(url) as stage:
            with mutant.applied():
                caught = await simulate(stage, CAUGHT_BY[mutant.what])
    assert caught.violation is not None
