"""A mapping turns a line into planned records; nothing here knows the database."""
