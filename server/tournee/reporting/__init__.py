"""Questions across domains; reads only."""
