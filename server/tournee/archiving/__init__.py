"""Archiving: old entries of the log go to files, and the database keeps what it still needs.

1. Plan    `planning.py`  which numbers go into the next file; noted before it is written
2. Write   `parquet.py`   the file, under a temporary name, and read back
3. Remove  `moving.py`    the entries, once the file has its name and is noted as complete
"""
