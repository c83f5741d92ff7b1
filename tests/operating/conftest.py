import pytest

from tests.operating.terminal import Terminal


@pytest.fixture
def tournee(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Terminal:
    """The command line on this module's database."""
    return Terminal(monkeypatch, database_url)
