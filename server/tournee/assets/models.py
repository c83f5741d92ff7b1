"""Assets: what customers have installed and what technicians carry, with meters and their readings."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from tournee.assets.permissions import ASSETS_READ
from tournee.auth.roles import Role
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Invalid, refuse_wrong
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.ranks import rank_index
from tournee.kernel.search import Searched
from tournee.kernel.state import Machine, Transition
from tournee.kernel.times import TimeSource


class Ownership(StrEnum):
    """Who owns the asset."""

    CUSTOMER = "CUSTOMER"
    """The customer owns it and we service it."""
    COMPANY = "COMPANY"
    """It belongs to this organisation, such as a van or a tool."""


class AssetKind(StrEnum):
    """What kind of thing it is."""

    EQUIPMENT = "EQUIPMENT"
    """A machine or installation."""
    VEHICLE = "VEHICLE"
    """A car, van or trailer."""
    TOOL = "TOOL"
    """Carried to work and brought back."""
    COMPONENT = "COMPONENT"
    """A part of another asset, tracked on its own."""


class AssetStatus(StrEnum):
    """The stage of its life."""

    PLANNED = "PLANNED"
    """Ordered or agreed on, but not there yet."""
    INSTALLED = "INSTALLED"
    """In place, but not in use yet."""
    ACTIVE = "ACTIVE"
    """In use."""
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    """Broken or switched off, but expected to come back."""
    RETIRED = "RETIRED"
    """Gone for good. No step leads back."""


class Criticality(StrEnum):
    """The consequence of a failure."""

    LOW = "LOW"
    """A failure can wait."""
    MEDIUM = "MEDIUM"
    """A failure is a nuisance."""
    HIGH = "HIGH"
    """A failure stops the customer's work."""
    SAFETY = "SAFETY"
    """A failure endangers people."""


class MeterKind(StrEnum):
    """A counter never falls, such as hours run; a gauge rises and falls, such as pressure."""

    COUNTER = "COUNTER"
    """Only rises, such as hours run. A lower reading is marked implausible."""
    GAUGE = "GAUGE"
    """Rises and falls, such as pressure."""


class ReadingSource(StrEnum):
    """Where a reading comes from."""

    MANUAL = "MANUAL"
    """Somebody read it off."""
    IMPORT = "IMPORT"
    """It came with an import."""


def place_scopes(thing: Asset | Located) -> tuple[UUID | None, ...]:
    """Return the scopes of a place: a site, a technician, or else the customer."""
    return (thing.site_id or thing.holder_technician_id or thing.customer_id,)


class Asset(Entity):
    """A thing that is serviced, or that technicians use."""

    __tablename__ = "asset"
    __table_args__ = (
        Index("ix_asset_serial_number", "organisation_id", "serial_number"),
        Index("ix_asset_name", "organisation_id", "name"),
        rank_index("asset", "status", AssetStatus),
        rank_index("asset", "criticality", Criticality),
    )
    reads = ASSETS_READ
    decider = Role.DISPATCHER
    searched = Searched(
        ("name",),
        ("name", "serial_number", "external_key", "registration"),
        ("category", "manufacturer", "model"),
    )
    machine: ClassVar = Machine(
        {
            AssetStatus.PLANNED: (AssetStatus.INSTALLED, AssetStatus.ACTIVE, AssetStatus.RETIRED),
            AssetStatus.INSTALLED: (AssetStatus.ACTIVE, AssetStatus.OUT_OF_SERVICE, AssetStatus.RETIRED),
            AssetStatus.ACTIVE: (AssetStatus.OUT_OF_SERVICE, AssetStatus.RETIRED),
            AssetStatus.OUT_OF_SERVICE: (AssetStatus.ACTIVE, AssetStatus.RETIRED),
        }
    )

    name: Mapped[str] = column(200)
    """What people call it, such as its place or number."""
    ownership: Mapped[Ownership] = column(default=Ownership.CUSTOMER)
    """Decides whether a customer or a technician may be named."""
    customer_id: Mapped[UUID | None] = reference(
        "customer", description="The customer that owns it; null if the organisation does."
    )
    site_id: Mapped[UUID | None] = reference("site", description="Where it is installed or stands.")
    holder_technician_id: Mapped[UUID | None] = reference(
        "technician", description="The technician who has an asset of the organisation that is at no site."
    )
    parent_id: Mapped[UUID | None] = reference("asset", description="What it is a part of.")
    kind: Mapped[AssetKind] = column(default=AssetKind.EQUIPMENT)
    """The broad category, for lists and rules."""
    category: Mapped[str | None] = column(120)
    """The organisation's own, finer category, such as `elevator`; null if it uses none."""
    status: Mapped[AssetStatus] = column(merge=Merge.STATE_MACHINE, default=AssetStatus.ACTIVE)
    """Where the asset stands in its life. Commands such as `retireAsset` change it."""
    serial_number: Mapped[str | None] = column(120)
    """The manufacturer's number for this one piece; null if unknown."""
    manufacturer: Mapped[str | None] = column(120)
    """Who made it; null if unknown."""
    model: Mapped[str | None] = column(120)
    """The manufacturer's name for the type; null if unknown."""
    registration: Mapped[str | None] = column(40, description="A vehicle's plate.")
    external_key: Mapped[str | None] = column(
        200, merge=Merge.FIRST_WINS, description="The record's key in the system it was imported from."
    )
    criticality: Mapped[Criticality] = column(merge=Merge.REVIEW, default=Criticality.MEDIUM)
    """What a failure means for the customer; helps to set priorities."""
    installed_on: Mapped[date | None] = column(merge=Merge.MIN, description="The earliest known day.")
    warranty_starts_on: Mapped[date | None] = column()
    """The first day of the warranty; null means the day of installation."""
    warranty_ends_on: Mapped[date | None] = column(
        merge=Merge.MAX,
        description="The last day of the warranty; of two concurrent edits, the later day stays.",
    )
    notes: Mapped[str | None] = column()
    """What the next technician should know; null if nothing."""
    specification: Mapped[dict[str, Any]] = column(
        default=dict, description="Technical data as imported: any key, with a text."
    )

    def scopes(self) -> Iterable[UUID | None]:
        return place_scopes(self)

    def check(self) -> None:
        ours, theirs = self.ownership is Ownership.COMPANY, self.ownership is Ownership.CUSTOMER
        owned, held = self.customer_id is not None, self.holder_technician_id is not None
        starts, ends = self.warranty_starts_on, self.warranty_ends_on
        backwards = starts is not None and ends is not None and ends < starts
        twice = self.site_id is not None and held and not theirs
        refuse_wrong(
            (ours and owned, "An asset of the organisation has no customer.", "customerId"),
            (theirs and not owned, "Name a site or a customer.", "siteId"),
            (theirs and held, "A technician can hold only assets of the organisation.", "holderTechnicianId"),
            (twice, "An asset is either at a site or with a technician, not both.", "holderTechnicianId"),
            (backwards, "The warranty would end before it begins.", "warrantyEndsOn"),
        )
        self._check_specification()

    def _check_specification(self) -> None:
        entries = self.specification.items()
        if len(entries) > 500:
            raise Invalid("A specification may have at most 500 entries.", "specification")
        for key, value in entries:
            if not isinstance(value, str) or len(key) > 200 or len(value) > 4000 or "\x00" in key + value:
                raise Invalid("A specification maps short keys to texts.", "specification")

    def is_under_warranty(self, on: date) -> bool:
        """Return whether the warranty covers that day; without a start it runs from the installation."""
        starts = self.warranty_starts_on or self.installed_on or date.min
        return self.warranty_ends_on is not None and starts <= on <= self.warranty_ends_on

    def become(self, status: AssetStatus) -> None:
        """Take the next step of its life."""
        self.machine.require(self.status, status)
        self.status = status

    def transitions(self) -> list[Transition]:
        """Return the statuses that it can take now."""
        return self.machine.transitions(self.status)


class Located:
    """Something that is visible where its asset is or was; only the server sets the place."""

    site_id: Mapped[UUID | None] = reference("site", merge=Merge.SERVER_ONLY)
    """The site where the asset is, or was when this was recorded; null if at none."""
    customer_id: Mapped[UUID | None] = reference("customer", merge=Merge.SERVER_ONLY)
    """The customer of the asset at that time; null for a thing of the company."""
    holder_technician_id: Mapped[UUID | None] = reference("technician", merge=Merge.SERVER_ONLY)
    """The technician who held the asset at that time; null if nobody did."""

    def scopes(self) -> Iterable[UUID | None]:
        return place_scopes(self)

    def put_where(self, other: Asset | Located) -> None:
        """Put it in the same place."""
        self.site_id = other.site_id
        self.customer_id = other.customer_id
        self.holder_technician_id = other.holder_technician_id


class Meter(Located, Entity):
    """Something to read on an asset. It moves with its asset."""

    __tablename__ = "meter"
    reads = ASSETS_READ
    decider = Role.DISPATCHER

    asset_id: Mapped[UUID] = reference("asset")
    """The asset it is read off."""
    name: Mapped[str] = column(120)
    """What it measures, as it is written on the asset."""
    unit: Mapped[str] = column(20, description="Such as `h`, `km` or `bar`.")
    kind: Mapped[MeterKind] = column(default=MeterKind.COUNTER)
    """Whether the value may fall."""


class Reading(Located, Entity):
    """What a meter showed at a time. It stays where it was taken; another reading corrects a mistake."""

    __tablename__ = "reading"
    __table_args__ = (Index("ix_reading_time", "organisation_id", "meter_id", "taken_at"),)
    reads = ASSETS_READ
    is_fact = True
    decider = Role.DISPATCHER

    meter_id: Mapped[UUID] = reference("meter", merge=Merge.LEDGER)
    """The meter that showed the value."""
    asset_id: Mapped[UUID] = reference("asset", merge=Merge.SERVER_ONLY)
    """The asset that the meter belonged to at that time."""
    value: Mapped[float] = column(merge=Merge.LEDGER)
    """In the unit beside it."""
    unit: Mapped[str] = column(20, merge=Merge.SERVER_ONLY, description="The meter's unit at that time.")
    taken_at: Mapped[datetime] = column(time_source=TimeSource.DEVICE, merge=Merge.LEDGER)
    """When it was read, by the device's clock."""
    taken_by_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY, description="The account that recorded it.")
    appointment_id: Mapped[UUID | None] = reference(
        "appointment", merge=Merge.LEDGER, description="The visit it was taken on."
    )
    source: Mapped[ReadingSource] = column(merge=Merge.LEDGER, default=ReadingSource.MANUAL)
    """Whether a person read it or an import brought it."""
    note: Mapped[str | None] = column(2000, merge=Merge.LEDGER)
    """What was noticed while reading; null if nothing."""
    corrects_id: Mapped[UUID | None] = reference(
        "reading", merge=Merge.LEDGER, description="The reading that this one replaces."
    )
    is_corrected: Mapped[bool] = column(
        merge=Merge.SERVER_ONLY, default=False, description="Whether another reading replaces it."
    )
    implausible: Mapped[bool] = column(
        merge=Merge.SERVER_ONLY,
        default=False,
        description="Whether the counter had shown more at an earlier time.",
    )
