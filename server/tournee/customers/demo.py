"""Made-up customers, where they are, whom to talk to, what they expect and what was said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from tournee.kernel.demo import demo_id

Operation = tuple[str, str, dict[str, Any]]

_CUSTOMERS: tuple[tuple[str, str, str, list[str]], ...] = (
    ("Demo Hotel Harbour", "ORGANISATION", "ACTIVE", ["hotel", "key account"]),
    ("Demo Bakery Sunrise", "ORGANISATION", "ACTIVE", ["food"]),
    ("Demo Hospital North", "ORGANISATION", "ACTIVE", ["hospital", "key account"]),
    ("Demo Housing Cooperative", "ORGANISATION", "ACTIVE", ["housing"]),
    ("Demo School District", "ORGANISATION", "ACTIVE", ["public"]),
    ("Demo Household", "PERSON", "PROSPECT", []),
)
# Name, street, city, territory, latitude, longitude; site n belongs to customer 1 + (n - 1) % 6.
_SITES = (
    ("Demo Harbour Building", "1 Example Quay", "Demo Port", "north", 47.21, -1.55),
    ("Demo Sunrise Oven Hall", "2 Example Lane", "Demo Port", "north", 47.22, -1.56),
    ("Demo Hospital Main House", "3 Example Avenue", "Demo Hill", "south", 47.18, -1.52),
    ("Demo Housing Block A", "4 Example Street", "Demo Hill", "south", 47.17, -1.53),
    ("Demo School Gymnasium", "5 Example Square", "Demo Port", "north", 47.23, -1.54),
    ("Demo Household", "6 Example Court", "Demo Hill", "south", 47.16, -1.51),
    ("Demo Harbour Annex", "7 Example Quay", "Demo Port", "north", 47.20, -1.57),
    ("Demo Sunrise Shop", "8 Example Market", "Demo Hill", "south", 47.19, -1.50),
)
# Customer, kind, description, minutes.
_EXPECTATIONS = (
    (1, "RESPONSE_TIME", "Somebody answers within an hour.", 60),
    (1, "CONTACT_BEFORE_VISIT", "Call the reception before you come in.", None),
    (2, "ARRIVAL_WINDOW", "Before the oven is lit: until six in the morning.", None),
    (3, "RESPONSE_TIME", "On site within two hours, day and night.", 120),
    (3, "DOCUMENTATION", "A signed report for every visit.", None),
    (5, "LANGUAGE", "Signs and reports in French.", None),
)
# Customer, days ago, channel, direction, subject, who wrote it down.
_INTERACTIONS = (
    (1, 6, "PHONE", "INBOUND", "Asks when the cooling in the kitchen is checked", "DISPATCHER"),
    (1, 5, "EMAIL", "OUTBOUND", "Date of the visit confirmed", "DISPATCHER"),
    (2, 4, "PHONE", "INBOUND", "Oven hall too warm in the morning", "DISPATCHER"),
    (3, 3, "VISIT", "INTERNAL", "Walked through the plant room with the caretaker", "TECHNICIAN"),
    (3, 2, "PORTAL", "INBOUND", "Report of the last visit is missing", "DISPATCHER"),
    (4, 1, "LETTER", "INBOUND", "New contact for block A", "DISPATCHER"),
)


def operations(today: date) -> list[Operation]:
    """Return the commands that make six customers, with their sites, contacts, expectations and latest
    interactions.
    """
    return [*_customers(), *_sites(), *_contacts(), *_expectations(), *_interactions(today)]


def _id(name: str) -> str:
    return str(demo_id(name))


def _customers() -> Iterator[Operation]:
    for number, (name, kind, status, tags) in enumerate(_CUSTOMERS, 1):
        yield "MANAGER", "createCustomer", {
            "id": _id(f"customer/{number}"), "name": name, "kind": kind, "status": status, "tags": tags,
            "email": f"customer{number}@customers.example", "phone": f"+1 555 010{number}", "language": "fr",
        }  # fmt: skip


def _sites() -> Iterator[Operation]:
    for number, (name, street, city, territory, latitude, longitude) in enumerate(_SITES, 1):
        yield "MANAGER", "createSite", {
            "id": _id(f"site/{number}"), "customerId": _id(f"customer/{1 + (number - 1) % 6}"),
            "territoryId": _id(f"territory/{territory}"), "name": name, "street": street, "city": city,
            "postalCode": f"0000{number}", "country": "FR", "latitude": latitude, "longitude": longitude,
            "timeZone": "Europe/Paris", "accessNotes": f"Made-up door code {number}{number}{number}{number}.",
        }  # fmt: skip


def _contacts() -> Iterator[Operation]:
    for number in range(1, 10):
        customer = 1 + (number - 1) % 6
        contact = {
            "id": _id(f"contact/{number}"), "customerId": _id(f"customer/{customer}"),
            "name": f"Demo Contact {number}", "jobTitle": "Caretaker" if number <= 6 else "Accountant",
            "email": f"contact{number}@customers.example", "phone": f"+1 555 011{number}",
            "preferredChannel": "PHONE" if number % 2 else "EMAIL", "language": "fr",
        }  # fmt: skip
        if number <= 6:
            contact["siteId"] = _id(f"site/{number}")
        yield "DISPATCHER", "createContact", contact


def _expectations() -> Iterator[Operation]:
    for number, (customer, kind, description, minutes) in enumerate(_EXPECTATIONS, 1):
        yield "MANAGER", "createExpectation", {
            "id": _id(f"expectation/{number}"), "customerId": _id(f"customer/{customer}"), "kind": kind,
            "description": description, "targetMinutes": minutes,
        }  # fmt: skip


def _interactions(today: date) -> Iterator[Operation]:
    for number, (customer, days, channel, direction, subject, role) in enumerate(_INTERACTIONS, 1):
        at = datetime.combine(today - timedelta(days=days), time(9, 30), UTC)
        yield role, "recordInteraction", {
            "id": _id(f"interaction/{number}"), "customerId": _id(f"customer/{customer}"),
            "contactId": _id(f"contact/{customer}"), "channel": channel, "direction": direction,
            "subject": subject, "at": at.isoformat().replace("+00:00", "Z"),
        }  # fmt: skip
