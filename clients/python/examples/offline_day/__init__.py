"""Play one technician's day without a network and check the result: `python -m examples.offline_day`."""
