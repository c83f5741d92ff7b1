"""What the device reports about itself with each push and pull; the office sees it."""

from __future__ import annotations

from tournee_client.link import Link
from tournee_client.store import Store
from tournee_client.wire import SCHEMA, Document, dumps


class Report:
    """The device's app, schema version, unsent work and clock skew (in milliseconds)."""

    def __init__(self, app: str, store: Store, link: Link) -> None:
        self._app = app
        self._store = store
        self._link = link

    def document(self) -> Document:
        """Return the report as part of a push."""
        said: Document = {"app": self._app, "schema": SCHEMA, "queue": self._store.outbox.queue()}
        skew = self._link.clock_skew
        return said if skew is None else said | {"clockSkew": round(skew.total_seconds() * 1000)}

    def query(self) -> dict[str, str]:
        """Return the report as query parameters of a pull."""
        return {
            name: value if isinstance(value, str) else dumps(value) for name, value in self.document().items()
        }
