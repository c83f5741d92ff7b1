"""The sync protocol; it knows the kernel, and the catalogue is passed in.

Start a push at `push/push.py` and a pull at `pull/feed.py`: each lists its steps. `waiting/` holds what
continues later, `devices/` who sends it, `http/` the endpoints.
"""
