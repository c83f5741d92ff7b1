"""Pull: what changed for a person since a cursor."""
