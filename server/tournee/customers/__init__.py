"""Customers: their sites, contacts and expectations, and what was said to them."""
