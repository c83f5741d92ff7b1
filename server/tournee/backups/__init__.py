"""Backups: one file with the database and what it holds, counted; it is restored whole or not at all.

The file is a zip archive of two members. `manifest.json` says what was counted, in the snapshot that was
saved. The other is the database: as SQLite keeps it, or as pg_dump writes it.
"""
