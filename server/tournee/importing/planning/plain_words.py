"""Says what is wrong with a value or a field, in words for people who look at columns."""

from __future__ import annotations

import re


class BadCell(ValueError):
    """A cell cannot be used; the message says what is wrong with its value."""


# Messages of the input's checks, and what they mean to somebody who looks at a file.
_MEANINGS = (
    (r"String should have at most (\d+) characters?", r"is longer than \1 characters"),
    (r"String should have at least (\d+) characters?", r"is shorter than \1 characters"),
    (r"List should have at most (\d+) items? after validation, not .*", r"has more than \1 entries"),
    (r"Input should be (?:less|smaller) than or equal to (\S+)", r"is more than \1"),
    (r"Input should be greater than or equal to (\S+)", r"is less than \1"),
    (r"Input should be less than (\S+)", r"is not less than \1"),
    (r"Input should be greater than (\S+)", r"is not more than \1"),
    (r"Input should be ('.*')", r"is not one of \1"),
    (r"Input should be a valid integer.*", "is not a whole number"),
    (r"Input should be a (?:valid|finite) number.*", "is not a number"),
    (r"Input should be a valid boolean.*", "is neither yes nor no"),
    (r"Input should be a valid string.*", "is not a text"),
    (r"Input should be a valid list.*", "is not a list"),
    (r"Input should be a valid UUID.*", "is not the id of a record"),
    (r"Input should be a valid dictionary.*", "is not a set of texts"),
    (r"should be a time in RFC 3339.*", "is not a time"),
    (r"should be a day.*", "is not a date"),
    (r"Field required", "is required and has no value"),
)
_KNOWN = tuple((re.compile(pattern), meaning) for pattern, meaning in _MEANINGS)


def in_plain_words(message: str, field: str) -> str:
    """Return the message with the field's name in front, such as `email is longer than 200 characters`."""
    said = message.removeprefix(f"{field}: ").removeprefix("Value error, ")
    for pattern, meaning in _KNOWN:
        found = pattern.fullmatch(said)
        if found is not None:
            said = found.expand(meaning).replace(" or '", ", '")
            break
    name = ".".join(str(int(part) + 1) if part.isdigit() else part for part in field.split("."))
    return f"{name} {said}".strip()
