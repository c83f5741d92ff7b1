"""Tailing: the change log is copied to files while it grows, each entry exactly once.

1. Continue  `folder.py`     where the copy in a folder ends; its files say so themselves
2. Read      `following.py`  the entries after that, in portions, and wait for more
3. Write     `formats/`      a file with its name, or a transaction, holds both the entries and the new end
"""
