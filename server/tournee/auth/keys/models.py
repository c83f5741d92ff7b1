"""The table of the server's keys."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from tournee.kernel.entity import Base, Placement, UTCDateTime


class Purpose(StrEnum):
    """What a key signs."""

    TOKENS = "tokens"
    CURSORS = "cursors"


class ServerKey(Base):
    """A key of all servers on this database. It belongs to no organisation: a token is checked before it is
    known whose it is. Only sessions across organisations read it.
    """

    __tablename__ = "server_key"
    placement = Placement.COORDINATOR
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    # The fingerprint of the TOURNEE_SECRET_KEY that encrypts the secret; null if nothing does.
    sealed_by: Mapped[str | None] = mapped_column(String(16))
    # It signs from then on, unless a newer key does. Before that it is only published.
    used_from: Mapped[datetime] = mapped_column(UTCDateTime)
    # From then on it verifies nothing; null as long as no newer key has taken its place.
    ends_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


KEY_TABLE: Final = ServerKey.__tablename__

# Finds keys that are not encrypted, on any connection. If there are any, a backup leaves all keys out:
# anybody who reads such a key can sign tokens.
OPEN_KEYS: Final = f"SELECT id FROM {KEY_TABLE} WHERE sealed_by IS NULL LIMIT 1"  # noqa: S608
