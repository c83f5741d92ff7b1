"""The choice of an account that sees the whole organisation: what its device carries."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from tournee_client.wire import dumps


@dataclass(frozen=True)
class Choice:
    """The entities that the device carries (None: all), and the day from which on.

    What is open comes however old it is. With another choice the device fetches a new copy, and keeps the
    present one in use until that is complete.
    """

    entities: Collection[str] | None = None
    since: date | None = None

    def query(self) -> dict[str, str]:
        """Return the parameters of a pull."""
        named = {} if self.entities is None else {"entities": ",".join(sorted({*self.entities}))}
        return named | ({} if self.since is None else {"since": self.since.isoformat()})

    def text(self) -> str:
        """Return it as the store keeps it, to compare it with the next one."""
        return dumps(self.query())
