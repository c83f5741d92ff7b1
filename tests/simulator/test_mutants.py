"""The simulator finds bugs: each deliberate breakage of the server is caught by a known seed, with which
the server as it is keeps every promise."""

from __future__ import annotations

import pytest

from tests.simulator.mutants import MUTANTS, Mutant
from tests.simulator.running import theatre
from tests.simulator.simulation import simulate
from tests.simulator.stage import sqlite_url

# A seed that catches it. When the simulator tells its stories another way: find others.
CAUGHT_BY = {
    "receipts are not looked at": 3000,
    "edges stay open": 3104,
    "what was lost does not go": 3300,
    "a page ends at a bare seq": 3400,
    "a merge does not look at the base": 3500,
    "one's own change is another's": 3552,
    "a unit has no savepoint": 3600,
    "a gap does not wait": 3651,
    "a fact on a plan that changed is refused": 3700,
    "deletions are told as changes": 3752,
    "nobody remembers whose scopes changed": 3801,
    "a snapshot does not ask for the organisation": 3850,
}
SHOWN = [mutant for mutant in MUTANTS if mutant.what in CAUGHT_BY]


def test_at_least_ten_are_shown() -> None:
    assert len(SHOWN) == len(CAUGHT_BY) >= 10


@pytest.mark.parametrize("mutant", SHOWN, ids=lambda mutant: mutant.what)
async def test_a_mutant_is_caught_and_its_seed_is_clean_without_it(mutant: Mutant) -> None:
    with sqlite_url() as url:
        async with theatre(url) as stage:
            clean = await simulate(stage, CAUGHT_BY[mutant.what])
    with sqlite_url() as url:
        async with theatre(url) as stage:
            with mutant.applied():
                caught = await simulate(stage, CAUGHT_BY[mutant.what])
    assert clean.violation is None
    assert caught.violation is not None
