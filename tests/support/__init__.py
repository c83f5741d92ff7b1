"""What tests of several folders share. README.md one folder up says which gives what."""
