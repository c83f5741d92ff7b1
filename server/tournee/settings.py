"""The one place that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


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


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from DATABASE_URL, PORT and TOURNEE_*; several workers by default only on PostgreSQL."""
    env = os.environ if environment is None else environment
    default = Settings()
    directory = Path(env.get("TOURNEE_DIRECTORY", str(default.directory)))
    url = env.get("DATABASE_URL") or f"sqlite:///{directory}/tournee.db"
    workers = "1" if url.startswith("sqlite") else "2"
    return Settings(
        database_url=url,
        host=env.get("TOURNEE_HOST", default.host),
        port=int(env.get("PORT", default.port)),
        workers=int(env.get("TOURNEE_WORKERS", workers)),
        directory=directory,
        demo=env.get("TOURNEE_DEMO", "0") not in ("", "0", "false", "no"),
        issuer=env.get("TOURNEE_ISSUER", default.issuer),
        audience=env.get("TOURNEE_AUDIENCE", default.audience),
        access_token_seconds=int(env.get("TOURNEE_ACCESS_TOKEN_SECONDS", default.access_token_seconds)),
        refresh_token_days=int(env.get("TOURNEE_REFRESH_TOKEN_DAYS", default.refresh_token_days)),
        body_limit=int(env.get("TOURNEE_BODY_LIMIT", default.body_limit)),
        log_format=env.get("TOURNEE_LOG_FORMAT", default.log_format),
        heartbeat_seconds=float(env.get("TOURNEE_HEARTBEAT_SECONDS", default.heartbeat_seconds)),
        web_origins=tuple(env.get("TOURNEE_WEB_ORIGINS", "").replace(",", " ").split()),
        horizon_days=int(env.get("TOURNEE_HORIZON_DAYS", default.horizon_days)),
        operations_days=int(env.get("TOURNEE_OPERATIONS_DAYS", default.operations_days)),
        parked_days=int(env.get("TOURNEE_PARKED_DAYS", default.parked_days)),
    )
