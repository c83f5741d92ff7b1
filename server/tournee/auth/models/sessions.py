"""What sign-ins leave and need: refresh tokens, the organisations of an e-mail, failed attempts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, String, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from tournee.kernel.entity import Base, OrganisationRow, Placement, UTCDateTime


class RefreshToken(OrganisationRow):
    """A refresh token by its hash. Not an entity: nobody's record, and it changes at every use.

    The tokens of one sign-in are a family; each use replaces the token by its successor.
    """

    __tablename__ = "refresh_token"
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    family_id: Mapped[UUID] = mapped_column(Uuid)
    account_id: Mapped[UUID] = mapped_column(Uuid)
    device_id: Mapped[UUID | None] = mapped_column(Uuid)
    issued_at: Mapped[datetime] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    successor: Mapped[str | None] = mapped_column(String(64))

    __table_args__ = (
        Index("ix_refresh_token_session", "organisation_id", "family_id", "used_at"),
        Index("ix_refresh_token_account", "organisation_id", "account_id"),
        # Tokens from before they named their organisation are found by their hash alone.
        Index("ix_refresh_token_hash", "hash"),
    )


class SignInEmail(OrganisationRow):
    """An organisation that has an account with this e-mail. A sign-in knows an e-mail and no organisation, so
    it looks here first. `auth/emails.py` keeps the rows in step with the accounts.
    """

    __tablename__ = "sign_in_email"
    placement = Placement.EVERYWHERE
    email: Mapped[str] = mapped_column(String(200), primary_key=True, sort_order=-5)


class FailedAttempt(Base):
    """A wrong password, counted for all servers for a few minutes. It belongs to no organisation, because a
    sign-in is counted before it is known whose it is.
    """

    __tablename__ = "failed_attempt"
    placement = Placement.COORDINATOR
    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    # A hash, so that the table holds no e-mail and no address.
    key: Mapped[str] = mapped_column(String(32))
    at: Mapped[datetime] = mapped_column(UTCDateTime)

    __table_args__ = (
        Index("ix_failed_attempt_key", "key", "at"),
        Index("ix_failed_attempt_at", "at"),
    )
