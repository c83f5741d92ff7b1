"""Customers, contacts, sites, interactions, expectations."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID
from zoneinfo import available_timezones

from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.customers.permissions import CUSTOMERS_READ
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Invalid
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.times import TimeSource
from tournee.work.permissions import WORK_INTERNAL


class CustomerKind(StrEnum):
    """What kind of body a customer is."""

    ORGANISATION = "ORGANISATION"
    PERSON = "PERSON"


class CustomerStatus(StrEnum):
    """Whether we work for the customer."""

    PROSPECT = "PROSPECT"
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class Channel(StrEnum):
    """How people talk."""

    PHONE = "PHONE"
    EMAIL = "EMAIL"
    SMS = "SMS"
    LETTER = "LETTER"
    VISIT = "VISIT"
    PORTAL = "PORTAL"


class Direction(StrEnum):
    """Who began."""

    INBOUND = "INBOUND"
    OUTBOUND = "OUTBOUND"
    INTERNAL = "INTERNAL"


class ExpectationKind(StrEnum):
    """What a customer asks of our service."""

    RESPONSE_TIME = "RESPONSE_TIME"
    ARRIVAL_WINDOW = "ARRIVAL_WINDOW"
    CONTACT_BEFORE_VISIT = "CONTACT_BEFORE_VISIT"
    PREFERRED_TECHNICIAN = "PREFERRED_TECHNICIAN"
    EXCLUDED_TECHNICIAN = "EXCLUDED_TECHNICIAN"
    LANGUAGE = "LANGUAGE"
    DOCUMENTATION = "DOCUMENTATION"
    OTHER = "OTHER"


class Customer(Entity):
    """A customer account; its service happens at sites."""

    __tablename__ = "customer"
    reads = CUSTOMERS_READ
    decider = Role.DISPATCHER

    name: Mapped[str] = column(200)
    kind: Mapped[CustomerKind] = column(default=CustomerKind.ORGANISATION)
    status: Mapped[CustomerStatus] = column(default=CustomerStatus.ACTIVE)
    external_key: Mapped[str | None] = column(
        200, merge=Merge.FIRST_WINS, description="The record's key in the system it was imported from."
    )
    email: Mapped[str | None] = column(200)
    phone: Mapped[str | None] = column(40)
    language: Mapped[str | None] = column(20, description="BCP 47 tag, such as `fr` or `de-CH`.")
    parent_id: Mapped[UUID | None] = reference("customer", description="The account above this one.")
    billing_customer_id: Mapped[UUID | None] = reference("customer", description="Who pays, if another.")
    tags: Mapped[list[str]] = column(merge=Merge.SET_UNION, default=list, permission=WORK_INTERNAL)
    notes: Mapped[str | None] = column(permission=WORK_INTERNAL)

    def scopes(self) -> Iterable[UUID | None]:
        return (self.id,)


class Contact(Entity):
    """A person at a customer."""

    __tablename__ = "contact"
    reads = CUSTOMERS_READ
    decider = Role.DISPATCHER

    customer_id: Mapped[UUID] = reference("customer")
    site_id: Mapped[UUID | None] = reference("site", description="Where this person is, if at one site only.")
    external_key: Mapped[str | None] = column(200, merge=Merge.FIRST_WINS)
    name: Mapped[str] = column(200)
    job_title: Mapped[str | None] = column(200)
    email: Mapped[str | None] = column(200)
    phone: Mapped[str | None] = column(40)
    mobile: Mapped[str | None] = column(40)
    preferred_channel: Mapped[Channel | None] = column()
    language: Mapped[str | None] = column(20)
    consents_to_marketing: Mapped[bool] = column(default=False)

    def scopes(self) -> Iterable[UUID | None]:
        return (self.customer_id,)


class Site(Entity):
    """A place where a customer is served."""

    __tablename__ = "site"
    reads = CUSTOMERS_READ
    decider = Role.DISPATCHER

    customer_id: Mapped[UUID] = reference("customer")
    territory_id: Mapped[UUID | None] = reference("territory")
    external_key: Mapped[str | None] = column(200, merge=Merge.FIRST_WINS)
    name: Mapped[str] = column(200)
    street: Mapped[str | None] = column(200)
    postal_code: Mapped[str | None] = column(20)
    city: Mapped[str | None] = column(120)
    region: Mapped[str | None] = column(120)
    country: Mapped[str | None] = column(2, description="ISO 3166-1 alpha-2.")
    latitude: Mapped[float | None] = column(minimum=-90, maximum=90, description="Degrees, WGS 84.")
    longitude: Mapped[float | None] = column(minimum=-180, maximum=180, description="Degrees, WGS 84.")
    time_zone: Mapped[str] = column(60, default="UTC", description="IANA name, such as `Europe/Paris`.")
    access_notes: Mapped[str | None] = column(
        merge=Merge.REVIEW, description="Keys, codes, whom to ask, where to park."
    )

    def scopes(self) -> Iterable[UUID | None]:
        return (self.id,)

    def check(self) -> None:
        if self.time_zone not in _TIME_ZONES:
            raise Invalid("There is no such time zone; use an IANA name.", "timeZone")
        if (self.latitude is None) != (self.longitude is None):
            raise Invalid("Latitude and longitude go together.", "longitude")


class Interaction(Entity):
    """One entry of the communication log of a customer."""

    __tablename__ = "interaction"
    reads = CUSTOMERS_READ
    decider = Role.DISPATCHER

    customer_id: Mapped[UUID] = reference("customer", merge=Merge.APPEND_ONLY)
    contact_id: Mapped[UUID | None] = reference("contact", merge=Merge.APPEND_ONLY)
    site_id: Mapped[UUID | None] = reference("site", merge=Merge.APPEND_ONLY)
    channel: Mapped[Channel] = column(merge=Merge.APPEND_ONLY)
    direction: Mapped[Direction] = column(merge=Merge.APPEND_ONLY)
    subject: Mapped[str] = column(200, merge=Merge.APPEND_ONLY)
    body: Mapped[str | None] = column(merge=Merge.APPEND_ONLY)
    occurred_at: Mapped[datetime] = column(time_source=TimeSource.DEVICE, merge=Merge.APPEND_ONLY)
    author_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY, description="The account that wrote it.")

    def scopes(self) -> Iterable[UUID | None]:
        """The author keeps what they wrote; the internal log of a customer is the office's."""
        return (self.author_id,)


class Expectation(Entity):
    """What a customer expects of us, or prefers; at one site or everywhere."""

    __tablename__ = "expectation"
    reads = CUSTOMERS_READ
    decider = Role.DISPATCHER

    customer_id: Mapped[UUID] = reference("customer")
    site_id: Mapped[UUID | None] = reference("site")
    technician_id: Mapped[UUID | None] = reference("technician")
    kind: Mapped[ExpectationKind] = column()
    description: Mapped[str] = column(2000)
    target_minutes: Mapped[int | None] = column(minimum=0, description="For times: the promise, in minutes.")

    def scopes(self) -> Iterable[UUID | None]:
        return (self.customer_id,)


# What some systems have beside them means another zone on each machine.
_TIME_ZONES = available_timezones() - {"localtime", "Factory"}
