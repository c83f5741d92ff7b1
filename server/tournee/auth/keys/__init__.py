"""The server's keys: they sign access tokens and cursors, and are in the database for all servers."""
