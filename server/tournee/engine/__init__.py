"""The engine behind the kernel: it writes what commands changed into the database, and learns what others
wrote.
"""
