"""Fixed ids for demo data, so that documentation and tests can name a row and servers know the demo."""

from __future__ import annotations

from uuid import UUID, uuid5

_DEMO = UUID("7d5cd1b0-8e0a-5c7e-9c70-74f1b0f3d2a1")


def demo_id(name: str) -> UUID:
    """The id of a demo row by its name, such as `site/1`; the same on every machine."""
    return uuid5(_DEMO, name)


# Their accounts have a public password, and anybody may have added accounts to them.
ORGANISATIONS = frozenset({demo_id("organisation/demo"), demo_id("organisation/other")})
