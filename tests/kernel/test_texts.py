"""Characters that no text may hold, in any field."""

from __future__ import annotations

from typing import Any

import pytest

from tournee.catalogue import COMMANDS
from tournee.kernel.errors import Invalid

NUL = "a NUL character is not allowed"


def nested(depth: int) -> Any:
    return {"a": nested(depth - 1)} if depth else "x"


@pytest.mark.parametrize(
    ("payload", "field", "message"),
    [
        ({"name": "Demo\x00"}, "name", NUL),
        ({"name": "Demo", "notes": "line\n\x00"}, "notes", NUL),
        ({"name": "Demo", "specification": {"a": "x", "b": "\x00"}}, "specification", NUL),
        ({"name": "Demo", "specification": {"a\x00": "x"}}, "specification", NUL),
        ({"name": "Demo", "specification": {"a": [{"b": "\x00"}]}}, "specification", NUL),
        ({"name": "Demo", "specification": nested(51)}, "specification", "nested too deeply"),
    ],
)
def test_text_that_no_database_can_store_is_refused_by_field(
    payload: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(Invalid, match=message) as refusal:
        COMMANDS["createAsset"].parse(payload)
    assert list(refusal.value.fields) == [field]


def test_line_breaks_and_free_json_are_kept_unchanged() -> None:
    given = {"name": "Demo", "notes": "a\nb\r\n\u2028", "specification": nested(50)}
    do = COMMANDS["createAsset"].parse(given)
    assert (do.notes, do.specification) == (given["notes"], given["specification"])
