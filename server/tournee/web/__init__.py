"""What every request passes through, and the pages beside the API."""
