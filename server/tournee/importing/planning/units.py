"""Convert numbers from one unit into another."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

from tournee.importing.planning.plain_words import BadCell

# Names with at most one small exponent each. The unit library would calculate anything else, at any cost.
_NAME = r"(?:[°µμ]?[^\W\d_]+|[%‰])(?:(?:\^|\*\*)?-?\d|[²³])?"
_UNIT = re.compile(rf"{_NAME}(?:\s*[/*·]\s*{_NAME}){{0,4}}")
_LONGEST = 30
# Units that differ from country to country.
_SEVERAL = frozenset({"ton", "tons", "gal", "gallon", "gallons", "hp", "cup", "cups", "barrel", "barrels"})


def converted(value: float, given: str, wanted: str) -> float:
    """Return the value in the wanted unit; raises BadCell if the conversion is not certain."""
    if given == wanted:
        return value
    made, target = _unit(given), _unit(wanted)
    try:
        return float(_registry().Quantity(Decimal(str(value)), made).to(target).magnitude)
    except _registry_errors():
        raise BadCell(f"is in {given}, which cannot be converted into {wanted}") from None


@lru_cache(maxsize=1_000)
def _unit(text: str) -> Any:
    import pint  # noqa: PLC0415 - reads its definitions for a second, which few files need

    if text in _SEVERAL:
        raise BadCell(f"is in {text}, which is not the same everywhere; the mapping can name it exactly")
    if len(text) > _LONGEST or _UNIT.fullmatch(text) is None:
        raise BadCell(f"is in {text[:_LONGEST]!r}, which is not a known unit")
    # People write m3 for m^3.
    for spelling in (text, re.sub(r"(?<=[^\W\d_])(?=\d)", "^", text)):
        try:
            return _registry().parse_units(spelling)
        except (pint.PintError, ValueError, AttributeError, TypeError):
            continue
    raise BadCell(f"is in {text}, which is not a known unit")


def _registry_errors() -> tuple[type[Exception], ...]:
    import pint  # noqa: PLC0415 - the same

    return pint.PintError, ArithmeticError, ValueError


@cache
def _registry() -> Any:
    import pint  # noqa: PLC0415 - the same

    return pint.UnitRegistry(non_int_type=Decimal, cache_folder=None)
