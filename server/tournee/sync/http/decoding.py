"""JSON as devices write it."""

from __future__ import annotations

import re
from typing import Any

import orjson

_HIGH = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# Half of a surrogate pair. An even number of backslashes before it are escaped backslashes.
_LONE = re.compile(
    rb"(?<!\\)((?:\\\\)*)(?:" + _HIGH + rb"(?!" + _LOW + rb")|(?<!" + _HIGH + rb")" + _LOW + rb")"
)


def decode(body: bytes) -> Any:
    """Decode JSON; raises orjson.JSONDecodeError.

    Half of a surrogate pair, written as `\ud83d`, becomes U+FFFD: apps that cut texts at a length produce it,
    and it must spoil nothing else.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        mended = _LONE.sub(rb"\1\\ufffd", body)
        if mended == body:
            raise
        return orjson.loads(mended)
