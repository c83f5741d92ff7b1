"""Servers with a broken order, each as in a real system; their histories must not pass."""

from __future__ import annotations

from tests.simulator.mutants import MUTANTS, Mutant
from tournee.engine import engines, publishing
from tournee.kernel import transaction

_HELD = "        seq = (await tx.session.execute(_TAKE_HEAD, taken)).scalar_one_or_none()\n"
# As with a sequence: taking a number blocks nobody, and the commit comes some time later.
_LET_GO = """        async with tx.database.writing(tx.organisation_id) as apart:
            seq = (await apart.execute(_TAKE_HEAD, taken)).scalar_one()
            await apart.commit()
"""

_HEAD_FIRST = "    last = await _take_head(tx)\n"
# It lacks what others have written but not committed.
_TOO_EARLY = """    await pipeline.arrived()
    touched = await tx.rules.touched(tx.session, tx.entries)
    held = await tx.rules.held(tx.session, touched)
    class Early:
        async def touched(self, *_):
            return touched
        async def held(self, *_):
            return held
    tx.rules = Early()
    last = await _take_head(tx)
"""

# Row locks rarely let writers meet this way, so a separate test makes them.
EARLY = Mutant(
    "memberships are computed before the head row is locked",
    publishing,
    "publish",
    _HEAD_FIRST,
    _TOO_EARLY,
    transaction,
)

_MUTANTS = (
    Mutant(
        "numbers are assigned before the commit without a lock",
        publishing,
        "_take_head",
        _HELD,
        _LET_GO,
    ),
    Mutant(
        "a page is read from more than one snapshot", engines, "_begin", "REPEATABLE READ", "READ COMMITTED"
    ),
    next(mutant for mutant in MUTANTS if mutant.what == "changed memberships are not cached"),
)
BROKEN = {mutant.what: mutant for mutant in _MUTANTS}
