"""The endpoints of sync, and who may come in."""
