"""A source yields records: it opens a file of some format and gives one line after the other."""
