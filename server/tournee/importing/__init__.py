"""Importing other people's files: a mapping says what each column means, commands write it."""
