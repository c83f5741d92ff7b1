"""The HTTP endpoints of sync, and who is admitted to them."""
