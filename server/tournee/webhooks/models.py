"""Webhook endpoints, and what the servers know about deliveries to them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import BigInteger, Integer, String, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from tournee.auth.roles import Role
from tournee.kernel.entity import Entity, OrganisationRow, UTCDateTime
from tournee.kernel.errors import Invalid
from tournee.kernel.fields import column
from tournee.kernel.registry import BY_NAME
from tournee.webhooks.permissions import WEBHOOKS_READ

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of every secret
_LEAST_SECRET, _MOST_SECRET = 24, 64


class WebhookEndpoint(Entity):
    """A web address that gets the organisation's changes as they are committed."""

    __tablename__ = "webhook_endpoint"
    reads = WEBHOOKS_READ
    decider = Role.MANAGER

    name: Mapped[str] = column(200)
    """A name by which people recognise the endpoint."""
    url: Mapped[str] = column(2000)
    """The `https` address that changes are posted to."""
    entities: Mapped[list[str]] = column(default=list)
    """The types of records whose changes are sent; empty for all."""
    active: Mapped[bool] = column(default=True)
    """Whether changes are sent. Once the endpoint is active again, it gets the changes that it missed."""
    secret: Mapped[str] = column(120, private=True)

    def scopes(self) -> Iterable[UUID | None]:
        return ()

    def check(self) -> None:
        if not is_address(self.url):
            raise Invalid(
                "This must be a web address such as https://example.org/hooks, without a password.", "url"
            )
        if unknown := [name for name in self.entities if name not in BY_NAME]:
            raise Invalid(f"There is no type of record named {unknown[0]}.", "entities")


def is_address(url: str) -> bool:
    """Return whether this is an HTTP address without a password in it."""
    try:
        parts = urlsplit(url)
        return bool(
            parts.scheme in ("https", "http")
            and parts.hostname
            and parts.username is None
            and parts.password is None
            and not parts.fragment
            and (parts.port is None or parts.port > 0)
            and url.isascii()
            and url.isprintable()
            and " " not in url
        )
    except ValueError:
        return False


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for; raises Invalid."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not _LEAST_SECRET <= len(key) <= _MOST_SECRET:
        raise Invalid(
            f"A secret must be {SECRET_PREFIX} and {_LEAST_SECRET} to {_MOST_SECRET} random bytes in base64.",
            "secret",
        )
    return key


class WebhookProgress(OrganisationRow):
    """How far an endpoint has come in the log, and which process sends to it."""

    __tablename__ = "webhook_progress"
    endpoint_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    holder: Mapped[UUID] = mapped_column(Uuid)
    # After this time, the holder is presumed dead.
    until: Mapped[datetime] = mapped_column(UTCDateTime)


class WebhookDelivery(OrganisationRow):
    """A change that an endpoint has not accepted yet, or that was given up."""

    __tablename__ = "webhook_delivery"
    endpoint_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    # The number of the change in the log, which holds the content.
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    record_id: Mapped[UUID] = mapped_column(Uuid)
    attempts: Mapped[int] = mapped_column(Integer)
    next_at: Mapped[datetime] = mapped_column(UTCDateTime)
    # When it was given up; null while it is tried again.
    dead_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    error: Mapped[str | None] = mapped_column(String(200))
