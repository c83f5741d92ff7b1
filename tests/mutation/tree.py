"""A copy of the tree in which rules are broken and tests run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import cache_from_source
from pathlib import Path

from tests.mutation.breakages import Breakage
from tests.mutation.nearest import nearest
from tests.support import migrate

# Some breakages never end; the slowest folder takes a minute or two on a busy machine.
MOST_SECONDS = 300


class Unsound(Exception):
    """These tests fail even without a breakage, so they prove nothing."""


@dataclass
class Tree:
    """A copy, and the sets of tests known to pass in it without a breakage."""

    folder: Path
    # Migrated once for all runs: each starts two seconds sooner.
    template: Path
    sound: set[frozenset[str]] = field(default_factory=set)

    @classmethod
    def copy(cls, folder: Path) -> Tree:
        """Copy the tracked and untracked, but not the ignored files into a new folder."""
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listed, capture_output=True, check=True).stdout.decode().split("\0"):
            if name and Path(name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(name, folder / name)
        migrate.upgrade(f"sqlite:///{folder / 'migrated.db'}")
        return cls(folder, folder / "migrated.db")

    def notices(self, breakage: Breakage) -> bool:
        """Return whether a test fails or never ends because of this breakage."""
        tests = nearest(self.folder, breakage.file, breakage.function)
        self._write(breakage, breakage.broken())
        try:
            passes = self._passes(tests)
        finally:
            self._write(breakage, breakage.whole)
        if passes:
            return False
        if frozenset(tests) not in self.sound and not self._passes(tests):
            raise Unsound(f"pytest --sqlite {' '.join(tests)}")
        self.sound.add(frozenset(tests))
        return True

    def _write(self, breakage: Breakage, text: str) -> None:
        file = self.folder / breakage.file
        file.write_text(text)
        # Two texts of one length, written within a second, would share a compiled module.
        Path(cache_from_source(str(file))).unlink(missing_ok=True)

    def _passes(self, tests: list[str]) -> bool:
        sources = os.pathsep.join(str(self.folder / source) for source in ("server", "clients/python"))
        running = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-qx", "--sqlite", "-m", "not prove", *tests],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": sources, "TOURNEE_TEST_TEMPLATE": str(self.template)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return running.wait(MOST_SECONDS) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
