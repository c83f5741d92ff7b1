"""The seeds that the tests run: those of the corpus, and one at random."""

from __future__ import annotations

import tomllib
from pathlib import Path

CORPUS = {
    entry["seed"]: entry.get("comes_by", [])
    for entry in tomllib.loads((Path(__file__).parent / "corpus.toml").read_text())["seed"]
}


FEW = [*CORPUS, 1000]
