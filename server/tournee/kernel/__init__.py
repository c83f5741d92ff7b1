"""What every domain stands on: actor, database, command, change log, visibility. Knows no domain."""
