"""Reads files that are one JSON document, a record at a time: an array, or the features of GeoJSON."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import ijson

from tournee.importing.sources.lines import MOST_CHARACTERS, Line, TooMuch, UnusableFile, flat

_CHUNK = 64_000
_RAW = 300


def json_records(path: Path, plain: IO[bytes], encoding: str, place: str | None) -> Iterator[Line]:
    """Yield the objects of the list at `place`, such as `data.items`; by default, the whole file is the list.

    A record's number is its place in the list. The memory for one record is limited.
    """
    found = ijson.sendable_list()
    prefix = "item" if place is None else f"{place}.item"
    reader = ijson.items_coro(found, prefix)
    number = waiting = 0
    for chunk in _in_utf8(plain, encoding):
        _send(path, reader, chunk, number)
        waiting += len(chunk)
        if not found and waiting > 2 * MOST_CHARACTERS:
            raise UnusableFile(
                f"{path}: the text after record {number} is longer than a record may be. If the list"
                ' of records is in another place, say records = "…" under [source]'
            )
        for value in found:
            number += 1
            yield _record(number, value, waiting // len(found))
        waiting = 0 if found else waiting
        del found[:]
    try:
        reader.close()
    except ijson.JSONError as error:
        raise UnusableFile(f"{path}: the file ends within record {number + 1}: {_words(error)}") from None
    if not number:
        where = "the file is not a list" if place is None else f"there is no list at {place}"
        raise UnusableFile(f'{path}: {where}, or an empty one; say records = "…" under [source]')


def _send(path: Path, reader: Any, chunk: bytes, number: int) -> None:
    try:
        reader.send(chunk)
    except ijson.JSONError as error:
        raise UnusableFile(f"{path}: after record {number} it is not JSON: {_words(error)}") from None


def _words(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _record(number: int, value: Any, size: int) -> Line:
    if not isinstance(value, dict):
        return Line(
            number, {}, "is not a JSON object", str(value)[:_RAW] if not isinstance(value, list) else ""
        )
    try:
        cells = flat(value)
    except TooMuch as problem:
        return Line(number, {}, str(problem))
    # GeoJSON puts the longitude first.
    point = value.get("geometry")
    if (
        isinstance(point, dict)
        and point.get("type") == "Point"
        and isinstance(point.get("coordinates"), list)
    ):
        cells |= dict(zip(("geometry.longitude", "geometry.latitude"), point["coordinates"], strict=False))
    return Line(number, cells, size=size)


def _in_utf8(plain: IO[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    while chunk := plain.read(_CHUNK):
        text = decoder.decode(chunk)
        if text:
            yield text.encode()
    rest = decoder.decode(b"", final=True)
    if rest:
        yield rest.encode()
