"""Planning: a mapping turns a line into planned records, without any database."""
