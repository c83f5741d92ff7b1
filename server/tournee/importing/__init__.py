"""Imports files of other systems: a mapping says what each column means, and commands write the records."""
