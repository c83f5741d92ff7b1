"""Programs that show the client at work."""
