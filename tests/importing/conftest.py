from pathlib import Path

import pytest

from tests.importing.running import Importer
from tests.support.house import House


@pytest.fixture
def importer(house: House, tmp_path: Path) -> Importer:
    """Return an importer into a new organisation."""
    return Importer(house, tmp_path)
