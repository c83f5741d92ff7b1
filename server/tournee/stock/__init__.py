"""The domain stock: parts, where they lie, and a ledger of every movement."""
