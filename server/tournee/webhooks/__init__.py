"""Webhooks: where an organisation's changes are sent, and which deliveries failed."""
