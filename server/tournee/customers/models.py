"""Customers, contacts, sites, interactions, expectations."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.customers.permissions import CUSTOMERS_READ
from tournee.kernel.buckets import TIME_ZONES
from tournee.kernel.entity import Entity
from tournee.kernel.errors import refuse_wrong
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.search import Searched
from tournee.kernel.times import TimeSource
from tournee.work.permissions import WORK_INTERNAL


class CustomerKind(StrEnum):
    """What kind of party a customer is."""

    ORGANISATION = "ORGANISATION"
    """A company, an authority or an association."""
    PERSON = "PERSON"
    """A private person."""


class CustomerStatus(StrEnum):
    """Whether we serve the customer."""

    PROSPECT = "PROSPECT"
    """Not a customer yet."""
    ACTIVE = "ACTIVE"
    """Is served."""
    INACTIVE = "INACTIVE"
    """Is no longer served; the history stays."""


class Channel(StrEnum):
    """The medium of a conversation."""

    PHONE = "PHONE"
    """A call."""
    EMAIL = "EMAIL"
    """An e-mail."""
    SMS = "SMS"
    """A text message."""
    LETTER = "LETTER"
    """Paper, by post."""
    VISIT = "VISIT"
    """Face to face."""
    PORTAL = "PORTAL"
    """The customer portal."""


class Direction(StrEnum):
    """Who started the conversation."""

    INBOUND = "INBOUND"
    """The customer contacted us."""
    OUTBOUND = "OUTBOUND"
    """We contacted the customer."""
    INTERNAL = "INTERNAL"
    """Between colleagues, about the customer."""


class ExpectationKind(StrEnum):
    """What a customer expects of our service."""

    RESPONSE_TIME = "RESPONSE_TIME"
    """How soon somebody has to react or arrive."""
    ARRIVAL_WINDOW = "ARRIVAL_WINDOW"
    """When a visit may begin."""
    CONTACT_BEFORE_VISIT = "CONTACT_BEFORE_VISIT"
    """Whom to call before coming, and how long before."""
    PREFERRED_TECHNICIAN = "PREFERRED_TECHNICIAN"
    """The technician to send if possible."""
    EXCLUDED_TECHNICIAN = "EXCLUDED_TECHNICIAN"
    """A technician who must not be sent."""
    LANGUAGE = "LANGUAGE"
    """The language to speak or write."""
    DOCUMENTATION = "DOCUMENTATION"
    """Papers or photos that each visit must produce."""
    OTHER = "OTHER"
    """Anything else; the description says what."""


class Customer(Entity):
    """A customer account. Service takes place at its sites."""

    __tablename__ = "customer"
    __table_args__ = (Index("ix_customer_name", "organisation_id", "name"),)
    reads = CUSTOMERS_READ
    decider = Role.DISPATCHER
    searched = Searched(("name",), ("name", "external_key", "email"), phones=("phone",))

    name: Mapped[str] = column(200)
    """What people search for and what reports show."""
    kind: Mapped[CustomerKind] = column(default=CustomerKind.ORGANISATION)
    """Whether this is an organisation or a private person."""
    status: Mapped[CustomerStatus] = column(default=CustomerStatus.ACTIVE)
    """Whether new work is taken on."""
    external_key: Mapped[str | None] = column(
        200, merge=Merge.FIRST_WINS, description="The record's key in the system it was imported from."
    )
    email: Mapped[str | None] = column(200)
    """The general address; null if there is none. People have their own in contacts."""
    phone: Mapped[str | None] = column(40)
    """The general number; null if there is none."""
    language: Mapped[str | None] = column(20, description="BCP 47 tag, such as `fr` or `de-CH`.")
    parent_id: Mapped[UUID | None] = reference("customer", description="The customer above this one.")
    billing_customer_id: Mapped[UUID | None] = reference(
        "customer", description="The customer that pays, if it is another one."
    )
    tags: Mapped[list[str]] = column(merge=Merge.SET_UNION, default=list, permission=WORK_INTERNAL)
    """The organisation's own words for grouping customers. Not shown to the customer."""
    notes: Mapped[str | None] = column(permission=WORK_INTERNAL)
    """What colleagues should know. Not shown to the customer; null if nothing."""

    def scopes(self) -> Iterable[UUID | None]:
        return (self.id,)


class Contact(Entity):
    """A person at a customer."""

    __tablename__ = "contact"
    reads = CUSTOMERS_READ
    decider = Role.DISPATCHER
    searched = Searched(
        ("name",), ("name", "external_key", "email"), ("job_title",), phones=("phone", "mobile")
    )

    customer_id: Mapped[UUID] = reference("customer")
    """The customer this person belongs to."""
    site_id: Mapped[UUID | None] = reference("site", description="Where this person is, if at one site only.")
    external_key: Mapped[str | None] = column(200, merge=Merge.FIRST_WINS)
    """The record's key in the system it was imported from; null if it was made here."""
    name: Mapped[str] = column(200)
    """First and last name as the person writes it."""
    job_title: Mapped[str | None] = column(200)
    """Their function at the customer; null if unknown."""
    email: Mapped[str | None] = column(200)
    """Null if unknown."""
    phone: Mapped[str | None] = column(40)
    """A fixed line; null if unknown."""
    mobile: Mapped[str | None] = column(40)
    """A mobile number; null if unknown."""
    preferred_channel: Mapped[Channel | None] = column()
    """How this person likes to be reached; null if they said nothing."""
    language: Mapped[str | None] = column(20)
    """BCP 47 tag, such as `fr` or `de-CH`; null if unknown."""
    consents_to_marketing: Mapped[bool] = column(default=False)
    """Whether this person agreed to receive advertising."""

    def scopes(self) -> Iterable[UUID | None]:
        return (self.customer_id,)


class Site(Entity):
    """A place where a customer is served."""

    __tablename__ = "site"
    __table_args__ = (Index("ix_site_name", "organisation_id", "name"),)
    reads = CUSTOMERS_READ
    decider = Role.DISPATCHER
    searched = Searched(("name",), ("name", "external_key"), ("street", "postal_code", "city"))

    customer_id: Mapped[UUID] = reference("customer")
    """The customer served here. When a site changes hands, its history stays."""
    territory_id: Mapped[UUID | None] = reference("territory")
    """The area it lies in, from which technicians are proposed; null if none is set."""
    external_key: Mapped[str | None] = column(200, merge=Merge.FIRST_WINS)
    """The record's key in the system it was imported from; null if it was made here."""
    name: Mapped[str] = column(200)
    """What technicians and customers call the place."""
    street: Mapped[str | None] = column(200)
    """Street and house number; null if unknown."""
    postal_code: Mapped[str | None] = column(20)
    """As written in its country; null if unknown."""
    city: Mapped[str | None] = column(120)
    """Town or village; null if unknown."""
    region: Mapped[str | None] = column(120)
    """State, canton or province; null if addresses there have none."""
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
        half = (self.latitude is None) != (self.longitude is None)
        refuse_wrong(
            (self.time_zone not in TIME_ZONES, "There is no such time zone; use an IANA name.", "timeZone"),
            (half, "Give both latitude and longitude, or neither.", "longitude"),
        )


class Interaction(Entity):
    """One entry in a customer's communication log."""

    __tablename__ = "interaction"
    reads = CUSTOMERS_READ
    is_fact = True
    decider = Role.DISPATCHER

    customer_id: Mapped[UUID] = reference("customer", merge=Merge.APPEND_ONLY)
    """The customer it was about."""
    contact_id: Mapped[UUID | None] = reference("contact", merge=Merge.APPEND_ONLY)
    """The person we talked to; null if unknown."""
    site_id: Mapped[UUID | None] = reference("site", merge=Merge.APPEND_ONLY)
    """The site it was about; null if about no site in particular."""
    channel: Mapped[Channel] = column(merge=Merge.APPEND_ONLY)
    """How the conversation took place."""
    direction: Mapped[Direction] = column(merge=Merge.APPEND_ONLY)
    """Which side started it."""
    subject: Mapped[str] = column(200, merge=Merge.APPEND_ONLY)
    """One line, for lists."""
    body: Mapped[str | None] = column(merge=Merge.APPEND_ONLY)
    """What was said; null if the subject says it all."""
    occurred_at: Mapped[datetime] = column(time_source=TimeSource.DEVICE, merge=Merge.APPEND_ONLY)
    """When it took place, by the clock of the person who recorded it."""
    author_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY, description="The account that wrote it.")

    def scopes(self) -> Iterable[UUID | None]:
        """The author keeps what they wrote; the internal log of a customer is the office's."""
        return (self.author_id,)


class Expectation(Entity):
    """Something a customer expects or prefers, at one site or everywhere."""

    __tablename__ = "expectation"
    reads = CUSTOMERS_READ
    decider = Role.DISPATCHER

    customer_id: Mapped[UUID] = reference("customer")
    """The customer who expects it."""
    site_id: Mapped[UUID | None] = reference("site")
    """The site where it applies; null for every site of the customer."""
    technician_id: Mapped[UUID | None] = reference("technician")
    """The technician preferred or excluded; null for other kinds."""
    kind: Mapped[ExpectationKind] = column()
    """What it is about, so that planning can look for it."""
    description: Mapped[str] = column(2000)
    """The expectation in words, as the customer would say it."""
    target_minutes: Mapped[int | None] = column(minimum=0, description="For times: the promise, in minutes.")

    def scopes(self) -> Iterable[UUID | None]:
        return (self.customer_id,)
