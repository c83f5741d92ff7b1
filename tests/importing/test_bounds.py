"""A line and a batch of lines take bounded memory, whatever a small file unpacks to."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest

from tournee.importing.command import _batches
from tournee.importing.mapping.columns import Column
from tournee.importing.mapping.model import Mapping
from tournee.importing.planning.cells import CellReader
from tournee.importing.planning.plan import Plan
from tournee.importing.planning.together import neighbours
from tournee.importing.sources.lines import MOST_CHARACTERS, MOST_ENTRIES, Line
from tournee.importing.sources.opening import open_lines

MAPPING = Mapping.model_validate(
    {"system": "x", "record": [{"entity": "Customer", "key": "{No}", "fields": {"name": "Company"}}]}
)
MEGABYTE = b"x" * 1_000_000
GOOD = b'{"No": "1", "Company": "Demo"}\n'


def packed(file: Path, parts: Iterable[bytes]) -> Path:
    with gzip.open(file, "wb", compresslevel=1) as bomb:
        for part in parts:
            bomb.write(part)
    return file


@pytest.mark.parametrize(
    ("name", "parts", "words"),
    [
        ("one.jsonl.gz", [b'{"No": "', *[MEGABYTE] * 40, b'"}\n', GOOD], "is longer than 1,000,000"),
        ("deep.jsonl.gz", [b'{"a":' * 900, b"1", b"}" * 900, b"\n", GOOD], "whose name is longer than 500"),
        (
            "names.jsonl.gz",
            [b'{"', MEGABYTE[:900_000], b'":{"a":1}}\n', GOOD],
            "whose name is longer than 500",
        ),
        (
            "wide.jsonl.gz",
            [b"{", b",".join(b'"%d":1' % number for number in range(9_000)), b"}\n", GOOD],
            "more than 5,000 columns",
        ),
        ("one.csv.gz", [b"No,Company\n1,", *[MEGABYTE] * 40, b"\n1,Demo\n"], "is longer than 1,000,000"),
        (
            "quote.csv.gz",
            [b'No,Company\n1,"', *[b"x" * 99 + b"\n"] * 10_100, b"1,Demo\n"],
            "is a quote missing?",
        ),
    ],
)
def test_a_decompression_bomb_loses_its_line_and_costs_no_memory(
    tmp_path: Path, name: str, parts: list[bytes], words: str
) -> None:
    file = packed(tmp_path / name, parts)
    tracemalloc.start()
    with open_lines(file, MAPPING) as (lines, _):
        found = list(lines)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert words in (found[0].problem or "")
    assert found[-1].cells == {"No": "1", "Company": "Demo"}
    assert peak < 16_000_000
    assert max(len(line.raw) for line in found) < 1_000


def test_a_batch_ends_when_its_lines_are_too_large() -> None:
    plans = [Plan(1, MOST_CHARACTERS) for _ in range(20)]
    assert max(len(batch) for batch in _batches(plans, 1_000)) == 5
    assert sum(len(batch) for batch in _batches(plans, 1_000)) == 20


def test_a_group_over_the_limit_keeps_a_bounded_number_of_lines() -> None:
    lines = (Line(number, {"A": "1"}) for number in range(MOST_ENTRIES + 500))
    (group,) = neighbours(lines, lambda line: line.cells["A"])
    assert (group.too_many, len(group), group.lines) == (True, MOST_ENTRIES, MOST_ENTRIES + 500)


def test_long_texts_are_read_but_not_cached() -> None:
    reader = CellReader(Column(), [])
    assert reader.read("x" * 100_000) == ("x" * 100_000, None)
    assert reader.read("short") == ("short", None)
    assert list(reader.known) == ["short"]
