"""Push: what a device did while it was away is carried out, once and in its order."""
