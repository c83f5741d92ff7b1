"""The sync protocol: push, pull, stream. Knows the kernel; the catalogue is handed in."""
