"""Writing: writes planned records by commands, or in a dry run only compares them."""
