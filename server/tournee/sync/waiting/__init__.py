"""What was received and cannot go on yet: why it waits, for what, and how it goes on."""
