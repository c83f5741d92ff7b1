"""Code that tests of several folders share; `tests/README.md` lists it."""
