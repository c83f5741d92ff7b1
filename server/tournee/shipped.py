"""The folders that the server needs beside its Python code: migrations, mappings, schema.

In a checkout they are at the top, where people look for them. In an installed package they are inside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "files"
_CHECKOUT = _PACKAGE.parents[1]


def folder(name: str) -> Path:
    """Return the folder `migrations`, `mappings` or `schema`; in a checkout, also others such as `docs`."""
    return (_INSTALLED if _INSTALLED.is_dir() else _CHECKOUT) / name


def mapping(path: Path) -> Path:
    """Return the path, or if it does not exist, the mapping of that name that comes with the server."""
    ours = folder("mappings") / path.with_suffix(".toml").name
    return ours if not path.exists() and path.parent == Path() and ours.is_file() else path
