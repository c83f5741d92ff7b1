"""Push: carry out what a device did while it was away, once and in order."""
