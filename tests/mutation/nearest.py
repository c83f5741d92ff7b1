"""Which tests should notice a breakage of a file: those of the folder that mirrors it."""

from __future__ import annotations

from pathlib import Path

_LIMITS = [
    f"tests/api/test_{name}.py"
    for name in ("limits", "costs", "hostile", "introspection", "admission", "http")
]

# Files and folders whose tests are elsewhere, or in further places; the longest matching name counts.
NEAREST: dict[str, list[str]] = {
    "clients/python": ["tests/clients"],
    "server/tournee/api/limits.py": _LIMITS,
    # Late moves are among late operations.
    "server/tournee/assets/commands.py": ["tests/assets", "tests/sync/waiting/test_overtaking.py"],
    # Other entities refer to accounts, by rules in these files.
    "server/tournee/auth": ["tests/auth", "tests/people/test_technicians.py", "tests/quality/test_audits.py"],
    # What a revoked device receives and sends is tested with the sync.
    "server/tournee/auth/middleware.py": ["tests/auth", "tests/sync/devices/test_surrender.py"],
    "server/tournee/auth/revoked.py": ["tests/auth", "tests/sync/devices/test_surrender.py"],
    "server/tournee/customers": [
        "tests/customers",
        "tests/importing/test_files.py",
        "tests/work/test_visibility.py",
    ],
    "server/tournee/kernel/merge.py": [
        "tests/sync/push/test_merge.py",
        "tests/sync/push/test_bases.py",
        "tests/conflicts",
    ],
    "server/tournee/kernel": ["tests/kernel", "tests/sync", "tests/conflicts"],
    "server/tournee/people": ["tests/people", "tests/work/test_planning.py", "tests/work/test_visibility.py"],
}
# These test the lengths and ranges of all domains, and how the schema prints them.
EVERYWHERE = ["tests/kernel/test_bounds.py", "tests/test_owed.py"]
# These start servers, which takes longer than the rest of their folder.
LAST = ("tests/clients/test_offline_day.py", "tests/clients/served/test_real_server.py")


def nearest(tree: Path, file: Path, function: str) -> list[str]:
    """Return the files of tests in a tree, with those first that name the broken function most often."""
    name = max((name for name in NEAREST if file.as_posix().startswith(name)), key=len, default="")
    folders = NEAREST.get(name, [f"tests/{file.parts[2]}"])
    if file.parts[0] == "server":
        folders = [*folders, *EVERYWHERE]
    places = [tree / place for place in folders]
    files = [
        found for place in places for found in ([place] if place.is_file() else place.rglob("test_*.py"))
    ]
    named = sorted({found.relative_to(tree).as_posix() for found in files})

    def order(found: str) -> tuple[bool, int]:
        return found in LAST, -_mentions((tree / found).read_text(), function)

    return sorted(named, key=order)


def _mentions(text: str, function: str) -> int:
    head, *rest = function.split("_")
    command = head[:1].lower() + head[1:] + "".join(part.capitalize() for part in rest)
    return text.count(function) + text.count(command) if function else 0
