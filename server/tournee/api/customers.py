"""Customers in GraphQL."""

from __future__ import annotations

from tournee.api.nodes import Extras, Link, ListName
from tournee.auth.models import Account
from tournee.customers.models import Customer, Interaction

EXTRAS = Extras(
    lists=(
        ListName(Customer, "parent_id", "branches"),
        ListName(Customer, "billing_customer_id", "billedCustomers"),
    ),
    links=(Link(Interaction, "author_id", Account),),
)
