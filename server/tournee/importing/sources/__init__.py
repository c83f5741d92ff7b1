"""Sources: open a file of some format and yield one line after the other."""
