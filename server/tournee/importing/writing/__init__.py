"""A writer writes planned records, by commands, or pretends to."""
