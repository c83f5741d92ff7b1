"""Telephone numbers as they are compared."""

from __future__ import annotations

import re
from functools import cache
from types import ModuleType

from tournee.kernel.folding import fold

# As people type a number, or a part of one: digits and what stands between them.
_NUMBER = re.compile(r"\s*\+?[\d\s()/.\-\u2010-\u2015]{3,60}")
_NO_DIGIT = re.compile(r"\D+")
_ABROAD = "00"


def looks_like_number(text: str) -> bool:
    """Return whether this could be a telephone number, or the beginning of one."""
    return bool(_NUMBER.fullmatch(fold(text) or ""))


def national(text: str) -> str:
    """Return the digits of a number after the country's code and the zeros before an area's: `+49 30 1234`
    and `030 1234` are both `301234`.

    The country of a number without a code is not guessed: a number reads the same in every country that
    dials a zero before the area, or nothing.
    """
    plain = fold(text) or ""
    international = plain.strip()
    if international.startswith(_ABROAD):
        international = f"+{international.removeprefix(_ABROAD)}"
    if international.startswith("+"):
        phonenumbers = _phonenumbers()
        try:
            return str(phonenumbers.parse(international).national_number)
        except phonenumbers.NumberParseException:
            pass
    return _NO_DIGIT.sub("", plain).lstrip("0")


@cache
def _phonenumbers() -> ModuleType:
    # It takes half a second to import, and few commands of `tournee` need it.
    import phonenumbers  # noqa: PLC0415

    return phonenumbers
