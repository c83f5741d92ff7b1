"""What years of use leave in PostgreSQL, and what it costs there to work on."""
