"""Test modules are independent: code that two of them need is in `tests/support` or a conftest."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
IMPORT = re.compile(r"^\s*(?:from|import)\s+tests[\w.]*\.(?:test_\w+|conftest)\b.*", re.MULTILINE)


def test_no_module_imports_a_test_module_or_a_conftest() -> None:
    found = {
        f"{file.relative_to(TESTS)}: {line.strip()}"
        for file in TESTS.rglob("*.py")
        for line in IMPORT.findall(file.read_text())
    }
    assert not found, "Move what is shared to tests/support, and fixtures to a conftest."


def test_the_readmes_example_is_a_test() -> None:
    example = (TESTS / "test_first.py").read_text().split('"""\n\n', 1)[1]
    assert f"```python\n{example}```\n" in (TESTS / "README.md").read_text()
