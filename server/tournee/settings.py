"""The one place that reads the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError


@dataclass(frozen=True)
class Settings:
    """How this server runs. Durations are seconds unless the name says otherwise."""

    database_url: str = "sqlite:///var/tournee.db"
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    directory: Path = field(default_factory=lambda: Path("var"))
    demo: bool = False
    issuer: str = "tournee"
    audience: str = "tournee"
    access_token_seconds: int = 900
    refresh_token_days: int = 400
    body_limit: int = 8 * 1024 * 1024
    log_format: str = "json"
    heartbeat_seconds: float = 15.0
    # Pages of these origins, such as `https://app.example.org`, may call from a browser.
    web_origins: tuple[str, ...] = ()
    # How far back a cursor can be continued, and how old the work may be that devices hand in.
    horizon_days: int = 90
    operations_days: int = 400
    # How long parked work waits for what is missing.
    parked_days: int = 30

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")


class UnusableSetting(ValueError):
    """A variable of the environment says something we cannot go by."""


_ON, _OFF = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})
_DATABASES = ("sqlite", "postgresql")
NumberT = TypeVar("NumberT", int, float)
_NUMBERS: Mapping[type[Any], str] = {int: "a whole number", float: "a number"}


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from DATABASE_URL, PORT and TOURNEE_*; several workers by default only on PostgreSQL."""
    env = _Environment(os.environ if environment is None else environment)
    default = Settings()
    directory = Path(env.text("TOURNEE_DIRECTORY", str(default.directory)))
    url = env.database_url(f"sqlite:///{directory}/tournee.db")
    return Settings(
        database_url=url,
        host=env.text("TOURNEE_HOST", default.host),
        port=env.number("PORT", default.port, 0, 65535),
        workers=env.number("TOURNEE_WORKERS", 1 if url.startswith("sqlite") else 2, 1),
        directory=directory,
        demo=env.choice("TOURNEE_DEMO"),
        issuer=env.text("TOURNEE_ISSUER", default.issuer),
        audience=env.text("TOURNEE_AUDIENCE", default.audience),
        access_token_seconds=env.number("TOURNEE_ACCESS_TOKEN_SECONDS", default.access_token_seconds, 1),
        refresh_token_days=env.number("TOURNEE_REFRESH_TOKEN_DAYS", default.refresh_token_days, 1),
        body_limit=env.number("TOURNEE_BODY_LIMIT", default.body_limit, 1),
        log_format=env.one_of("TOURNEE_LOG_FORMAT", ("json", "console")),
        heartbeat_seconds=env.number("TOURNEE_HEARTBEAT_SECONDS", default.heartbeat_seconds, 0.001),
        web_origins=env.origins("TOURNEE_WEB_ORIGINS"),
        horizon_days=env.number("TOURNEE_HORIZON_DAYS", default.horizon_days, 0),
        operations_days=env.number("TOURNEE_OPERATIONS_DAYS", default.operations_days, 0),
        parked_days=env.number("TOURNEE_PARKED_DAYS", default.parked_days, 0),
    )


class _Environment:
    """The variables, each read as what it has to be; one that is empty is one that is not set."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def text(self, name: str, default: str) -> str:
        return self._variables.get(name, "").strip() or default

    def number(self, name: str, default: NumberT, least: float, most: float = 2**31 - 1) -> NumberT:
        kind, text = type(default), self.text(name, str(default))
        try:
            value = kind(text)
            if least <= value <= most:
                return value
        except ValueError:
            pass
        raise UnusableSetting(f"{name}: {text!r} is not {_NUMBERS[kind]} from {least} to {most}.")

    def choice(self, name: str) -> bool:
        text = self._variables.get(name, "").strip().lower()
        if text not in _ON | _OFF:
            raise UnusableSetting(f"{name}: {text!r} is neither 1 nor 0.")
        return text in _ON

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        text = self.text(name, allowed[0])
        if text not in allowed:
            raise UnusableSetting(f"{name}: {text!r} is none of {', '.join(allowed)}.")
        return text

    def origins(self, name: str) -> tuple[str, ...]:
        """As a browser sends them: without a path, in small letters."""
        found = tuple(self.text(name, "").replace(",", " ").split())
        for origin in found:
            if origin != "*" and not re.fullmatch(r"https?://[^/?#\sA-Z]+", origin):
                raise UnusableSetting(f"{name}: {origin!r} is no origin such as https://app.example.org.")
        return found

    def database_url(self, default: str) -> str:
        """Not repeated when it is wrong: there may be a password in it."""
        url = self.text("DATABASE_URL", default)
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            parsed = None
        kind = parsed and parsed.get_backend_name()
        if parsed is None or kind not in _DATABASES or (kind == "sqlite" and not parsed.database):
            raise UnusableSetting("DATABASE_URL: is neither sqlite:///FILE nor postgresql://USER@HOST/NAME.")
        return url
