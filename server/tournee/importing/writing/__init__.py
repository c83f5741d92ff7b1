"""Writing: planned records are written by commands, or only compared."""
