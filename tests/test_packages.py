"""The wheels and source distributions of the server and of the Python client."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.processes import customers, running, signed_in
from tournee import shipped

ROOT = Path(__file__).parent.parent
PROJECTS = (".", "clients/python")
BROUGHT = ("migrations", "mappings", "schema")

# The Python client pushes one operation from a process that has only the wheels.
A_PUSH = """
import asyncio, sys
import tournee, tournee.shipped, tournee_client
from tournee_client import Device, Store, new_id

async def main():
    async with Device(sys.argv[1], Store("device.db")) as device:
        await device.sign_in("technician@demo.example", "demo")
        await device.sync()
        visit = device.all("Appointment")[0]["id"]
        await device.do("addNote", {"id": new_id(), "appointmentId": visit, "text": "Demo: from a wheel"})
        for outcome in await device.push():
            print(outcome.status)

print(tournee.__file__, tournee_client.__file__, tournee.shipped.folder("schema"), sep="\\n")
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the wheels of the server and of the client, by their folders."""
    return {source: build(ROOT / source, tmp_path_factory.mktemp("wheel"), "wheel") for source in PROJECTS}


def build(source: Path, into: Path, kind: str) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", into],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (built,) = into.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@dataclass
class Built:
    wheel: Path
    sdist: Path


@pytest.fixture(scope="module", params=PROJECTS, ids=["server", "client"])
def built(
    request: pytest.FixtureRequest, wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Built:
    into = tmp_path_factory.mktemp("built")
    return Built(wheels[request.param], build(ROOT / request.param, into, "sdist"))


def test_a_source_distribution_builds_the_same_wheel(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    again = build(unpacked, tmp_path / "dist", "wheel")
    assert contents(again) == contents(built.wheel)
    licences = [text for name, text in contents(again).items() if name.endswith("licenses/LICENSE")]
    assert licences == [(ROOT / "LICENSE").read_bytes()]


@pytest.fixture(scope="module")
def installed(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with both wheels and nothing from the checkout.

    Its dependencies come from the environment that runs the tests, whose folder follows the wheels in
    the path; its .pth files, which name the checkout, are not read.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, *wheels.values()], check=True)
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env" / "bin"


@pytest.mark.prove("It creates an environment and starts a server in it.")
def test_installed_wheels_serve_a_query_and_accept_a_push(installed: Path, tmp_path: Path) -> None:
    elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with running(tmp_path, program=[str(installed / "tournee"), "run"]) as (_, url, _):
        assert customers(url, signed_in(url)) > 0
        pushed = subprocess.run(
            [installed / "python", "-c", A_PUSH, url],
            cwd=tmp_path,
            env=elsewhere,
            check=True,
            capture_output=True,
            text=True,
        )
    *places, status = pushed.stdout.split()
    assert [str(installed.parent) in place for place in places] == [True, True, True]
    assert status == "applied"


@pytest.mark.slow("It starts a server from a wheel.")
def test_an_installed_server_includes_its_data_files(installed: Path, tmp_path: Path) -> None:
    (package,) = installed.parent.glob("lib/python*/site-packages/tournee")
    for name in BROUGHT:
        own = {
            file.relative_to(ROOT): file.read_bytes()
            for file in sorted((ROOT / name).rglob("*.*"))
            if tracked(file)
        }
        there = package / "files"
        assert own
        assert own == {file: (there / file).read_bytes() for file in own}
    checked = subprocess.run(
        [installed / "tournee", "schema", "--check"], check=False, cwd=tmp_path, capture_output=True
    )
    assert (checked.returncode, checked.stderr) == (0, b"")


def test_a_bundled_mapping_is_found_by_name(tmp_path: Path) -> None:
    own = tmp_path / "nyc_elevators.toml"
    own.touch()
    assert shipped.mapping(own) == own
    assert shipped.mapping(Path("nyc_elevators")) == ROOT / "mappings" / "nyc_elevators.toml"
    assert shipped.mapping(Path("no_such")) == Path("no_such")


def tracked(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts
