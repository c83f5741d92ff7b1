"""One technician's day without a network, told and checked: `python -m examples.offline_day`."""
