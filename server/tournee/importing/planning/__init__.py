"""Planning: a mapping turns lines into planned records, without a database."""
