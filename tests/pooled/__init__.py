"""The server behind PgBouncer, which hands each transaction to any of a few sessions."""
