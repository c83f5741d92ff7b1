"""What an operator does on the server itself, without signing in."""
