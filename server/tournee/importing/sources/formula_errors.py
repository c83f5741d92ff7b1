"""Finds cells whose formula failed, such as `#N/A`: the library that reads workbooks shows them as empty."""

from __future__ import annotations

import html
import posixpath
import re
import zipfile
from collections.abc import Mapping

# No part of these patterns matches beyond the next tag, whatever the file holds.
_CELL = re.compile(rb'<(?:\w+:)?c [^<>]*?r="([A-Z]{1,3})([0-9]{1,7})"')
_ERROR = re.compile(
    rb'<(?:\w+:)?c (?=[^<>]*?\br="([A-Z]{1,3})([0-9]{1,7})")[^<>]*?\bt="e"[^<>]*>\s*'
    rb"(?:<(?:\w+:)?f(?:>| [^<>]*>)(?:[^<]*</(?:\w+:)?f>)?\s*)?<(?:\w+:)?v>([^<]{1,40})<"
)
_SHEET = re.compile(r"<(?:\w+:)?sheet\s[^>]*>")
_RELATION = re.compile(r"<(?:\w+:)?Relationship\s[^>]*>")
_ATTRIBUTE = re.compile(r'([\w:]+)="([^"]*)"')
# By row and column, each counted from 1.
FormulaErrors = dict[tuple[int, int], str]
MOST_ERRORS = 100_000


class FormulaError(str):
    """The content of a cell whose formula failed."""

    __slots__ = ()


class Extent:
    """The size of a sheet and its error cells, found while its text comes in pieces."""

    # A formula comes before its result, and has at most 8,192 characters.
    _OVERLAP = 9_000

    def __init__(self) -> None:
        self.rows = self.columns = 0
        self.errors: FormulaErrors = {}
        self._rest = b""

    def look_at(self, piece: bytes) -> None:
        text = self._rest + piece
        for name, number in _CELL.findall(text):
            self.rows, self.columns = max(self.rows, int(number)), max(self.columns, _column(name))
        if b't="e"' in text:
            for name, number, said in _ERROR.findall(text):
                self.errors[int(number), _column(name)] = html.unescape(said.decode("utf-8", "replace"))
        self._rest = text[-self._OVERLAP :]


def part_of_sheet(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """Return the name of the archive's entry that holds this sheet; None if the usual files do not say."""
    try:
        workbook = archive.read("xl/workbook.xml").decode("utf-8", "replace")
        relations = archive.read("xl/_rels/workbook.xml.rels").decode("utf-8", "replace")
    except KeyError:
        return None
    named = {tag["name"]: tag for tag in map(_attributes, _SHEET.findall(workbook)) if "name" in tag}
    id = next((value for key, value in named.get(sheet, {}).items() if key.endswith(":id")), None)
    for tag in map(_attributes, _RELATION.findall(relations)):
        if tag.get("Id") == id and "Target" in tag:
            return posixpath.normpath(posixpath.join("/xl", tag["Target"])).removeprefix("/")
    return None


def _attributes(tag: str) -> Mapping[str, str]:
    return {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(tag)}


def _column(name: bytes) -> int:
    number = 0
    for letter in name:
        number = 26 * number + letter - 64
    return number
