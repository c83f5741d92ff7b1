"""What an operator does on the server's own machine, without being signed in."""
