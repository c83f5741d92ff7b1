"""Devices: what they report, how they are locked and revoked, and what they surrender."""
