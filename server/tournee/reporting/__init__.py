"""What can be asked across the domains; reads only."""
