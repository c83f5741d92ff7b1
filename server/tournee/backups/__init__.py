"""Backups: one file with the database and a count of its rows. It is restored whole or not at all.

The file is a zip archive with two members. `manifest.json` has the counts of the snapshot that was saved. The
other member is the database, as SQLite keeps it or as pg_dump writes it.
"""
