"""Customers, their sites, contacts and interactions."""

from tests.sync.examples.example import Example, at, of

_CUSTOMER = {"customerId": of("customer/1")}

EXAMPLES = {
    "createCustomer": Example("DISPATCHER", {"id": of("customer/new"), "name": "Demo Museum"}),
    "updateCustomer": Example("DISPATCHER", {**_CUSTOMER, "tags": ["moved"], "phone": "1"}, reaches=True),
    "createContact": Example(
        "DISPATCHER", {**_CUSTOMER, "id": of("contact/new"), "name": "Demo Porter"}, reaches=True
    ),
    "updateContact": Example(
        "DISPATCHER", {"contactId": of("contact/1"), "jobTitle": "Porter"}, reaches=True
    ),
    "deleteContact": Example("DISPATCHER", {"contactId": of("contact/1")}, reaches=True),
    "createSite": Example(
        "DISPATCHER",
        {**_CUSTOMER, "id": of("site/new"), "name": "Demo Pier", "territoryId": of("territory/north")},
    ),
    "updateSite": Example(
        "DISPATCHER", {"siteId": of("site/1"), "accessNotes": "Demo: ring twice."}, reaches=True
    ),
    "createExpectation": Example(
        "MANAGER",
        {
            **_CUSTOMER,
            "kind": "PREFERRED_TECHNICIAN",
            "description": "Demo: whoever came last.",
            "technicianId": of("technician/1"),
        },
        reaches=True,
    ),
    "updateExpectation": Example(
        "MANAGER", {"expectationId": of("expectation/1"), "targetMinutes": 30}, reaches=True
    ),
    "deleteExpectation": Example("MANAGER", {"expectationId": of("expectation/1")}, reaches=True),
    "recordInteraction": Example(
        "TECHNICIAN",
        {
            **_CUSTOMER,
            "id": of("interaction/new"),
            "channel": "VISIT",
            "direction": "INBOUND",
            "subject": "Demo: asks for an offer",
            "at": at(minutes=-10),
            "contactId": of("contact/1"),
        },
    ),
}
