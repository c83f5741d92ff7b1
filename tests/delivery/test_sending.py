"""A delivery goes to the host that the address names, and to nobody who only has its IP address."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.hooks import SECRET, Receiver
from tournee.delivery import sending
from tournee.delivery.addresses import resolve
from tournee.delivery.payload import sign
from tournee.delivery.sending import Sender
from tournee.kernel.entity import now

NAME = "hooks.demo.example"


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of NAME, signed by itself; return its file and that of its key."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)]),
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


@asynccontextmanager
async def secure(app: Any, files: tuple[Path, Path]) -> AsyncIterator[int]:
    config = uvicorn.Config(
        app, port=0, log_level="error", lifespan="off", ssl_certfile=str(files[0]), ssl_keyfile=str(files[1])
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def test_a_connection_belongs_to_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(_host: str, _port: int, *, private: bool) -> str:
        assert not private
        return "127.0.0.1"

    monkeypatch.setattr(sending, "resolve", resolve)
    files, receiver = certificate(tmp_path), Receiver()
    signed = sign("msg_1", now(), b'{"data": {}}', SECRET)
    sender = Sender(private=False, trusted=ssl.create_default_context(cafile=str(files[0])))
    async with secure(receiver, files) as port:
        assert await sender.post(f"https://{NAME}:{port}/", signed) is None
        # The first connection is still open, and leads to the same address.
        refusal = await sender.post(f"https://other.demo.example:{port}/", signed)
        assert refusal is not None
        assert "certificate is not valid for 'other.demo.example'" in refusal
        await sender.close()
    assert len(receiver.got) == 1


async def test_a_name_that_nobody_answers_keeps_no_other_work_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = threading.Event()

    def ask(*_name: Any, **_more: Any) -> Any:
        answers.wait(5)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    resolving = asyncio.create_task(resolve(NAME, 443, private=False))
    await asyncio.sleep(0)
    async with asyncio.timeout(2):
        await asyncio.to_thread(answers.set)
    assert await resolving == "93.184.216.34"
