"""A position in the change log as text: the `cursor` of a change, from which readers continue."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

import orjson

from tournee.kernel.head import Mark
from tournee.sync.pull.cursor import Cursor


def write_position(cursor: Cursor) -> str:
    parts: list[Any] = [cursor.epoch.hex, cursor.seq, cursor.id.hex, *(cursor.mark or ())]
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def read_position(text: str) -> Cursor:
    """Read a position; raises ValueError. It is not signed, because it reveals nothing about the log."""
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
        epoch, seq, id, *mark = parts
        if any(type(number) is not int or not 0 <= number < 2**53 for number in (seq, *mark)):
            raise ValueError("A number is out of range.")
        return Cursor(UUID(hex=epoch), seq, UUID(hex=id), mark=Mark(*mark) if mark else None)
    except (TypeError, AttributeError) as error:
        raise ValueError(str(error)) from None
