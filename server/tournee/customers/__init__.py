"""Customers: whom we serve, where, whom to talk to, what they expect and what was said."""
