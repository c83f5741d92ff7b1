"""The folders that the server needs and that are no Python: migrations, mappings, schema.

In a checkout they stand at its top, where people look for them. In an installed package they lie within it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "files"
_CHECKOUT = _PACKAGE.parents[1]


def folder(name: str) -> Path:
    """Return the folder `migrations`, `mappings` or `schema`; in a checkout also another, such as `docs`."""
    return (_INSTALLED if _INSTALLED.is_dir() else _CHECKOUT) / name


def mapping(path: Path) -> Path:
    """Return the path as it is, or the mapping of that name that comes with the server."""
    ours = folder("mappings") / path.with_suffix(".toml").name
    return ours if not path.exists() and path.parent == Path() and ours.is_file() else path
