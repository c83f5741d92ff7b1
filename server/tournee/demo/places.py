"""More customers with their sites, contacts and installations, and with activities and meter readings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from tournee.demo.making import (
    CUSTOMERS,
    INSTALLATIONS,
    SITES,
    SMALL_CUSTOMERS,
    SMALL_INSTALLATIONS,
    SMALL_SITES,
    Operation,
    at,
    chance,
    customer_of,
    id_of,
    picked,
    site_of,
)

# Each pair of a kind and a place is a distinct name.
_KINDS = ("Hotel", "Bakery", "Clinic", "School", "Office Tower", "Warehouse", "Museum", "Swimming Pool",
          "Library", "Supermarket", "Workshop", "Laboratory")  # fmt: skip
_PLACES = ("Hill", "Mill", "Park", "Station", "Market", "Bridge", "Garden", "Lake", "Forest", "Quay", "Field",
           "Square", "Valley")  # fmt: skip
_CITIES = ("Demo Port", "Demo Hill", "Demo Bay", "Demo Valley")
# Category, model, unit of the meter, monthly increase.
SORTS = (("Cold room", "DC-200", "h", 620.0), ("Boiler", "DB-35", "h", 410.0), ("Ventilation unit", "DV-8",
"h", 700.0),
         ("Lift", "DL-630", "cycles", 3900.0), ("Heat pump", "DH-12", "h", 540.0),
         ("Fire door", "DF-90", "cycles", 260.0))  # fmt: skip
_SUBJECTS = ("Asks when the next visit is", "Date of the visit confirmed", "Invoice received",
             "Wants an offer for a second unit", "Thanks for the quick repair")  # fmt: skip


def operations(today: date) -> Iterator[Operation]:
    """Yield customers before their sites, and sites before their installations."""
    for number in CUSTOMERS[SMALL_CUSTOMERS:]:
        yield _customer(number)
    for number in SITES[SMALL_SITES:]:
        yield _site(number)
    for number in CUSTOMERS[SMALL_CUSTOMERS:]:
        yield _contact(number)
        if chance(40, number):
            yield _interaction(number, today)
    for number in INSTALLATIONS[SMALL_INSTALLATIONS:]:
        yield from _installation(number, today)


def _name(customer: int) -> str:
    number = customer - SMALL_CUSTOMERS - 1
    return f"Demo {_KINDS[number % len(_KINDS)]} {_PLACES[number % len(_PLACES)]}"


def _customer(number: int) -> Operation:
    return "MANAGER", "createCustomer", {
        "id": id_of(f"customer/{number}"), "name": _name(number), "kind": "ORGANISATION",
        "status": "PROSPECT" if number % 29 == 0 else "ACTIVE",
        "tags": ["key account"] if chance(12, number) else [],
        "email": f"customer{number}@customers.example", "phone": f"+1 555 01{number:02}",
        "language": picked(("fr", "en", "de"), number),
    }  # fmt: skip


def _site(number: int) -> Operation:
    customer = customer_of(number)
    annex = number - 2 not in CUSTOMERS
    name = f"Demo Annex {number}" if annex else _name(customer)
    return "MANAGER", "createSite", {
        "id": id_of(f"site/{number}"), "customerId": id_of(f"customer/{customer}"),
        "territoryId": id_of(f"territory/{'north' if number % 2 else 'south'}"), "name": name,
        "street": f"{number} Example Street", "city": picked(_CITIES, number), "postalCode": f"{number:05}",
        "country": "FR", "latitude": round(47.1 + number % 13 / 60, 4),
        "longitude": round(-1.7 + number % 17 / 60, 4), "timeZone": "Europe/Paris",
        "accessNotes": f"Made-up door code {number:04}." if chance(50, number) else None,
    }  # fmt: skip


def _contact(number: int) -> Operation:
    return "DISPATCHER", "createContact", {
        "id": id_of(f"contact/c{number}"), "customerId": id_of(f"customer/{number}"),
        "siteId": id_of(f"site/{number + 2}"), "name": f"Demo Contact of customer {number}",
        "jobTitle": picked(("Caretaker", "Manager", "Receptionist"), number),
        "email": f"contact{number}@customers.example", "phone": f"+1 555 02{number:02}",
        "preferredChannel": picked(("PHONE", "EMAIL"), number),
    }  # fmt: skip


def _interaction(number: int, today: date) -> Operation:
    return "DISPATCHER", "recordInteraction", {
        "id": id_of(f"interaction/c{number}"), "customerId": id_of(f"customer/{number}"),
        "contactId": id_of(f"contact/c{number}"), "channel": picked(("PHONE", "EMAIL"), number, 1),
        "direction": picked(("INBOUND", "OUTBOUND"), number), "subject": picked(_SUBJECTS, number),
        "at": at(today - timedelta(days=1 + number % 20), 540 + number % 300),
    }  # fmt: skip


def _installation(number: int, today: date) -> Iterator[Operation]:
    category, model, unit, _ = SORTS[number % len(SORTS)]
    installed = today - timedelta(days=150 + 37 * number % 3000)
    id = id_of(f"asset/{number}")
    yield "DISPATCHER", "createAsset", {
        "id": id, "siteId": id_of(f"site/{site_of(number)}"), "name": f"Demo {category.lower()} {number}",
        "category": category, "manufacturer": "Demo Works", "model": model,
        "serialNumber": f"DEMO-{number:04}",
        "criticality": "HIGH" if category == "Lift" else picked(("LOW", "MEDIUM"), number),
        "installedOn": installed.isoformat(), "warrantyStartsOn": installed.isoformat(),
        "warrantyEndsOn": (installed + timedelta(days=730)).isoformat(),
        "specification": {"voltage": "400 V", "year": str(installed.year)},
    }  # fmt: skip
    yield "DISPATCHER", "createMeter", {
        "id": id_of(f"meter/{number}"), "assetId": id, "name": "Use", "unit": unit,
    }  # fmt: skip


def first_value(installation: int) -> float:
    """Return the meter's value a month ago."""
    return 12.0 * SORTS[installation % len(SORTS)][3] + 10 * installation
