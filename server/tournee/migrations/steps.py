"""For migrations: commit in between, so that no lock lasts longer than a portion of the work."""

from __future__ import annotations

from alembic import op

# Set by migrations/env.py where a revision's transaction is its own, and not part of another.
ONLINE = "online"


def is_online() -> bool:
    """Return whether this revision may commit before its end, and others write meanwhile."""
    return bool(op.get_context().opts.get(ONLINE))


def step() -> None:
    """Commit what the revision has done so far, and let go of its locks."""
    if is_online():
        with op.get_context().autocommit_block():
            pass
