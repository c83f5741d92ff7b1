"""Stock: parts, the places where they lie, and a ledger of every movement."""
