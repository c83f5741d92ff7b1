"""Sources: open a file in one of several formats and yield its lines."""
