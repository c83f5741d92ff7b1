"""Compiles the conditions of a mapping into a test for each line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tournee.importing.mapping.columns import Condition
from tournee.importing.planning.values import Values

Test = Callable[[Values], bool]


def all_hold(
    when: Sequence[Condition], unless: Sequence[Condition] = (), *, bad_counts: bool = False
) -> Test:
    """Return a test that all of `when` hold and none of `unless` does.

    `bad_counts`: a column that cannot be understood counts as filled, so that its list entry is not left out.
    """
    if not when and not unless:
        return _always
    wanted = [_test(condition, bad_counts) for condition in when]
    unwanted = [_test(condition, bad_counts) for condition in unless]

    def test(values: Values) -> bool:
        for one in wanted:
            if not one(values):
                return False
        for one in unwanted:  # noqa: SIM110 - a generator for each line costs more than the test
            if one(values):
                return False
        return True

    return test


def _always(_values: Values) -> bool:
    return True


def _test(condition: Condition, bad_counts: bool) -> Test:
    name, wanted = condition.column, condition.filled
    if wanted is not None:
        if bad_counts:
            return lambda values: values.is_filled(name) is wanted
        return lambda values: (values.value(name) is not None) is wanted
    if condition.equals is not None:
        known = frozenset(condition.equals)
        return lambda values: _trimmed(values, name) in known
    pattern = re.compile(condition.matches or "")
    return lambda values: pattern.search(_trimmed(values, name)) is not None


def _trimmed(values: Values, name: str) -> str:
    raw = values.raw(name)
    return "" if raw is None else str(raw).strip()
