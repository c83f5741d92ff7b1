"""Accounts and their devices."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, validates

from tournee.auth.permissions import ACCOUNTS_READ, DEVICES_READ
from tournee.auth.roles import Role
from tournee.kernel.entity import Entity
from tournee.kernel.errors import refuse_wrong
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.state import Machine
from tournee.kernel.times import TimeSource


class AccountStatus(StrEnum):
    """Whether the account may sign in."""

    ACTIVE = "ACTIVE"
    """It signs in as usual."""
    DISABLED = "DISABLED"
    """It can't sign in. Its record stays, because its work names it."""


class DeviceStatus(StrEnum):
    """Whether the device may hold our data."""

    ENROLLED = "ENROLLED"
    """It may pull and push."""
    REVOKED = "REVOKED"
    """It must erase its copy at its next call, and has not confirmed that yet."""
    WIPED = "WIPED"
    """It confirmed that its copy is erased."""


ACCOUNT_MOVES = Machine(
    {
        AccountStatus.ACTIVE: (AccountStatus.DISABLED,),
        AccountStatus.DISABLED: (AccountStatus.ACTIVE,),
    }
)
DEVICE_MOVES = Machine(
    {
        DeviceStatus.ENROLLED: (DeviceStatus.REVOKED, DeviceStatus.WIPED),
        DeviceStatus.REVOKED: (DeviceStatus.WIPED,),
    }
)


class Account(Entity):
    """Somebody who signs in. The e-mail is unique within the organisation."""

    __tablename__ = "account"
    __table_args__ = (UniqueConstraint("organisation_id", "email"),)
    reads = ACCOUNTS_READ
    admits = True
    decider = Role.MANAGER

    email: Mapped[str] = column(200, description="Unique within the organisation; kept in lower case.")
    name: Mapped[str] = column(200)
    """What the person is called in lists and beside their work."""
    role: Mapped[Role] = column()
    """Decides what the account may do and how much it sees."""
    status: Mapped[AccountStatus] = column(merge=Merge.STATE_MACHINE, default=AccountStatus.ACTIVE)
    """A disabled account can't sign in, and its devices are cut off."""
    customer_id: Mapped[UUID | None] = reference(
        "customer", description="Whose portal this is; for CUSTOMER_PORTAL only."
    )
    language: Mapped[str | None] = column(20, description="BCP 47 tag, such as `fr` or `de-CH`.")
    password_changed_at: Mapped[datetime | None] = column(
        time_source=TimeSource.SERVER, merge=Merge.SERVER_ONLY
    )
    """Null while the account has no password of ours."""
    password_hash: Mapped[str | None] = column(200, private=True)

    @validates("email")
    def _in_lower_case(self, _name: str, email: str) -> str:
        return email.strip().lower()

    def scopes(self) -> Iterable[UUID | None]:
        return (self.id,)

    def check(self) -> None:
        name, _, host = self.email.partition("@")
        wrong = not name or not host or "@" in host or any(sign.isspace() for sign in self.email)
        odd = (self.role is Role.CUSTOMER_PORTAL) != (self.customer_id is not None)
        refuse_wrong(
            (wrong, "This is not an e-mail address.", "email"),
            (odd, "A portal account needs a customer; other accounts cannot have one.", "customerId"),
        )

    def disable(self) -> None:
        ACCOUNT_MOVES.require(self.status, AccountStatus.DISABLED)
        self.status = AccountStatus.DISABLED

    def enable(self) -> None:
        ACCOUNT_MOVES.require(self.status, AccountStatus.ACTIVE)
        self.status = AccountStatus.ACTIVE

    def set_password(self, password_hash: str, at: datetime) -> None:
        self.password_hash = password_hash
        self.password_changed_at = at


class Device(Entity):
    """A device that an account signed in from; it keeps a copy of what the account may see."""

    __tablename__ = "device"
    reads = DEVICES_READ
    admits = True
    decider = Role.MANAGER

    account_id: Mapped[UUID] = reference("account", merge=Merge.SERVER_ONLY)
    """The person who signed in on it."""
    name: Mapped[str] = column(200)
    """What its owner calls it; tells two devices of one person apart."""
    platform: Mapped[str | None] = column(100)
    """The operating system as the app reports it; null if it reports none."""
    app_version: Mapped[str | None] = column(100)
    """The app's version as the app reports it; null if it reports none."""
    status: Mapped[DeviceStatus] = column(merge=Merge.STATE_MACHINE, default=DeviceStatus.ENROLLED)
    """Whether it may still hold a copy of the data."""
    enrolled_at: Mapped[datetime] = column(time_source=TimeSource.SERVER, merge=Merge.SERVER_ONLY)
    """When somebody first signed in on it."""
    revoked_at: Mapped[datetime | None] = column(time_source=TimeSource.SERVER, merge=Merge.SERVER_ONLY)
    """When the office took away its access; null if it never did."""
    surrender: Mapped[bool] = column(
        merge=Merge.SERVER_ONLY,
        default=False,
        description="Whether it may hand in its queued work, for a supervisor, before it erases its copy.",
    )
    surrendered_at: Mapped[datetime | None] = column(
        time_source=TimeSource.SERVER,
        merge=Merge.SERVER_ONLY,
        description="When, revoked, it last handed in queued work.",
    )
    wiped_at: Mapped[datetime | None] = column(
        time_source=TimeSource.SERVER,
        merge=Merge.SERVER_ONLY,
        description="When it confirmed that its copy is erased.",
    )

    def scopes(self) -> Iterable[UUID | None]:
        return (self.account_id,)

    def revoke(self, at: datetime, surrender: bool) -> None:
        """Revoke it: it must erase its copy at its next call. Until it confirms, the copy is assumed to
        exist.
        """
        DEVICE_MOVES.require(self.status, DeviceStatus.REVOKED)
        self.status = DeviceStatus.REVOKED
        self.revoked_at = at
        self.surrender = surrender

    def confirm_wipe(self, at: datetime) -> None:
        """Record that its copy is erased; confirming again changes nothing."""
        if self.status is not DeviceStatus.WIPED:
            DEVICE_MOVES.require(self.status, DeviceStatus.WIPED)
            self.status = DeviceStatus.WIPED
            self.wiped_at = at
