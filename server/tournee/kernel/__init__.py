"""What every domain stands on: actor, database, command, change log, visibility, refusals. Knows no domain."""
