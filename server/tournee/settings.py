"""The one place that reads the environment, and the list of all settings."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasGenerator, BeforeValidator, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError


class UnusableSetting(ValueError):
    """Environment variables are wrong; the message has a line for each, beginning with its name."""


def _database_url(url: str) -> str:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    kind = parsed and parsed.get_backend_name()
    if parsed is None or kind not in ("sqlite", "postgresql") or (kind == "sqlite" and not parsed.database):
        raise _should_be("sqlite:///FILE or postgresql://USER@HOST/NAME")
    return url


def _listen_url(url: str) -> str:
    if url and not url.startswith("postgresql"):
        raise _should_be("postgresql://USER@HOST/NAME, or empty")
    return _database_url(url) if url else url


def _read_url(url: str, others: ValidationInfo) -> str:
    if url and not others.data.get("listen_url"):
        raise _should_be("unset: without TOURNEE_LISTEN_URL the server does not know what a replica lacks")
    if url and not url.startswith("postgresql"):
        raise _should_be("postgresql://USER@HOST/NAME")
    return _database_url(url) if url else url


def _workers(workers: int, others: ValidationInfo) -> int:
    if workers > 1 and str(others.data.get("database_url")).startswith("sqlite"):
        raise _should_be("1: SQLite serves one process, PostgreSQL several")
    return workers


def _origin(origin: str) -> str:
    """Return the origin if it is written as browsers send it: without a path, in lower case."""
    if origin != "*" and not re.fullmatch(r"https?://[^/?#\sA-Z]+", origin):
        raise _should_be("an origin such as https://app.example.org")
    return origin


def _host(host: str) -> str:
    """Return the host if it is as browsers send it, without a port; `*.` stands for all subdomains."""
    if not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]", host):
        raise _should_be("a host such as api.example.org or *.example.org, without a port")
    return host


def _folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise _should_be("a folder that exists")
    return folder


def _token(token: str) -> str:
    if token and not re.fullmatch(r"[!-~]{16,}", token):
        raise _should_be("at least 16 ASCII characters without a space")
    return token


def _secret_key(secret: str) -> str:
    if not re.fullmatch(r"[!-~]{32,}", secret):
        raise _should_be("at least 32 ASCII characters without a space")
    return secret


def _network(network: str) -> str:
    try:
        return str(ip_network(network))
    except ValueError:
        raise _should_be("an address or network such as 10.0.0.7 or 10.0.0.0/8") from None


def is_loopback(host: str) -> bool:
    """Return whether the name or address always means the machine that uses it."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _should_be(what: str) -> PydanticCustomError:
    """Return an error worded like those of pydantic."""
    return PydanticCustomError("unusable", "Input should be {what}", {"what": what})


def _split(text: Any) -> Any:
    return text.replace(",", " ").split() if isinstance(text, str) else text


# The largest number that fits a 32-bit counter of seconds or days.
_MOST = 2**31 - 1
_Positive = Annotated[int, Field(ge=1, le=_MOST)]
_Days = Annotated[int, Field(ge=0, le=_MOST)]
_Hosts = Annotated[tuple[Annotated[str, AfterValidator(_host)], ...], NoDecode, BeforeValidator(_split)]
_Secrets = Annotated[
    tuple[Annotated[str, AfterValidator(_secret_key)], ...], NoDecode, BeforeValidator(_split)
]
_Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], NoDecode, BeforeValidator(_split)]
_Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """How this server runs. Lists are separated by commas or spaces; an empty variable counts as unset,
    except TOURNEE_LISTEN_URL.

    A field is read from TOURNEE_ plus its name in capitals. `repr=False` marks a secret: never printed.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        case_sensitive=True,
        alias_generator=AliasGenerator(validation_alias=lambda name: f"TOURNEE_{name.upper()}"),
    )

    directory: Path = Field(
        Path("var"), description="Folder for the files that the server writes: database, metrics."
    )
    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        default_factory=lambda others: f"sqlite:///{others['directory']}/tournee.db",
        validation_alias="DATABASE_URL",
        repr=False,
        description=(
            "`sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`. "
            "By default a SQLite file in `TOURNEE_DIRECTORY`."
        ),
    )
    listen_url: Annotated[str, AfterValidator(_listen_url)] = Field(
        default_factory=lambda others: (
            "" if others["database_url"].startswith("sqlite") else others["database_url"]
        ),
        repr=False,
        description=(
            "`postgresql://…` of PostgreSQL itself, if `DATABASE_URL` leads to a pooler: servers wait there "
            "for each other's notices. By default `DATABASE_URL`. If it is set but empty, the server looks "
            "for changes every second instead."
        ),
    )
    read_url: Annotated[str, AfterValidator(_read_url)] = Field(
        "",
        repr=False,
        description=(
            "`postgresql://…` of a read replica of the database. Queries are read there while it shows every "
            "commit that this server knows of; everything else stays on the primary."
        ),
    )
    secret_key: _Secrets = Field(
        (),
        repr=False,
        description=(
            "Encrypts the server's keys in the database: at least 32 random characters, such as those of "
            "`openssl rand -base64 32`. To change it, write the old one after the new one until every server "
            "has been restarted."
        ),
    )
    prepared_statements: bool = Field(
        True,
        description=(
            "`0` if `DATABASE_URL` leads to a pooler that shares connections between transactions and does "
            "not know prepared statements, such as PgBouncer before 1.21."
        ),
    )
    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` listens on all.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8000, validation_alias="PORT", description="Port to listen on."
    )
    workers: Annotated[_Positive, AfterValidator(_workers)] = Field(
        default_factory=lambda others: 1 if others["database_url"].startswith("sqlite") else 2,
        description="Number of server processes. SQLite allows one; with PostgreSQL the default is two.",
    )
    hosts: _Hosts = Field(
        (),
        description=(
            "Host names that the server answers under, such as `api.example.org` or `*.example.org`; "
            "by default all of them. Probes of `/healthz` and `/readyz` need none."
        ),
    )
    metrics_token: Annotated[str, AfterValidator(_token)] = Field(
        "",
        repr=False,
        description=(
            "The token that a scraper of `/metrics` sends as `Authorization: Bearer TOKEN`. Without it, "
            "`/metrics` answers this machine only."
        ),
    )
    trusted_proxies: _Networks = Field(
        (),
        description=(
            "Addresses or networks of the proxies in front of the server, such as `10.0.0.0/8`. The server "
            "takes the client's address (`X-Forwarded-For` or `Forwarded`) from these only, and uses it to "
            "limit and log sign-ins."
        ),
    )
    webhook_private_addresses: bool = Field(
        False,
        description=(
            "`1` lets webhooks be posted to addresses of this machine and of private networks, and over "
            "`http`. By default only public `https` addresses are allowed."
        ),
    )
    demo: bool = Field(
        False,
        description=(
            "`1` adds the demo organisation to the database and lets its accounts in, from this machine "
            "only: `TOURNEE_HOST` must be a loopback address. If neither this nor `DATABASE_URL` is set, "
            "`tournee run` on loopback is a demo, unless the database has organisations of your own."
        ),
    )
    introspection: bool = Field(
        default_factory=lambda others: others["demo"] and is_loopback(others["host"]),
        description="`1` allows GraphQL introspection. By default only the demo allows it.",
    )
    suggestions: bool = Field(
        default_factory=lambda others: others["demo"] and is_loopback(others["host"]),
        description="`1` lets GraphQL suggest names for a wrong one. By default only the demo does.",
    )
    demo_size: Literal["large", "small"] = Field(
        "large",
        description=(
            "Size of the demo organisation when it is added: `large` has ten weeks of a dozen technicians' "
            "work; `small` has a row or two of everything and takes a second."
        ),
    )
    issuer: str = Field("tournee", description="`iss` of access tokens: the name of this server.")
    audience: str = Field("tournee", description="`aud` of access tokens: the audience they are for.")
    access_token_seconds: _Positive = Field(900, description="Seconds until an access token expires.")
    refresh_token_days: _Positive = Field(400, description="Days until a refresh token expires.")
    body_limit: _Positive = Field(8 * 1024 * 1024, description="Largest request body, in bytes.")
    log_format: Literal["json", "console"] = Field(
        "json",
        description="`json` (one object a line) or `console`, the default of `tournee run` in a terminal.",
    )
    trusted_only: bool = Field(
        False,
        description=(
            "`1` refuses every GraphQL document that the server does not know from `schema/operations` or "
            "`TOURNEE_TRUSTED_DOCUMENTS`."
        ),
    )
    trusted_documents: Annotated[Path, AfterValidator(_folder)] | None = Field(
        None,
        description=(
            "Folder of the documents that your own clients send: `.graphql` files, and `.json` files whose "
            "values are documents, as Relay's compiler and GraphQL Code Generator write them."
        ),
    )
    query_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = Field(
        30.0,
        description=(
            "Seconds that a GraphQL query may take in the database before it is stopped with `TIMEOUT`; `0` "
            "sets no limit. Commands and sync are not limited."
        ),
    )
    cost_limit: _Positive = Field(
        500_000,
        description="The most rows that one GraphQL operation may ask for, whether they exist or not.",
    )
    heartbeat_seconds: Annotated[float, Field(ge=0.001, le=_MOST, allow_inf_nan=False)] = Field(
        15.0, description="Seconds between heartbeats on a quiet stream."
    )
    web_origins: _Origins = Field(
        (), description="Origins whose web pages may call the server, such as `https://app.example.org`."
    )
    horizon_days: _Days = Field(90, description="Days after which a cursor is too old to continue from.")
    operations_days: _Days = Field(
        400, description="Days for which the server accepts an operation from a device."
    )
    parked_days: _Days = Field(30, description="Days for which an operation waits for what it depends on.")

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def is_embedded(self) -> bool:
        """Return whether the database is the default file, because DATABASE_URL is not set."""
        return "database_url" not in self.model_fields_set

    @property
    def is_demo(self) -> bool:
        """Return whether demo accounts may sign in: the demo is on, and the server listens on loopback."""
        return self.demo and is_loopback(self.host)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keep pydantic from reading the environment: only `read_settings` does."""
        return (init_settings,)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings from DATABASE_URL, PORT and TOURNEE_*, or raise an error with everything wrong."""
    try:
        return Settings.model_validate(_Environment(os.environ if environment is None else environment)())
    except ValidationError as error:
        lines = [_line(problem) for problem in error.errors() if problem["type"] != _FOLLOWS]
    raise UnusableSetting("\n".join(lines))


# The error of a default that could not be computed, because the setting that it depends on is wrong.
_FOLLOWS = "default_factory_not_called"


class _Environment(EnvSettingsSource):
    """Reads the environment variables that are not blank."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str]:
        stripped = {name: value.strip() for name, value in self._variables.items()}
        return {name: value for name, value in stripped.items() if value or name in _MAY_BE_EMPTY}


# Variables for which empty is not the same as unset.
_MAY_BE_EMPTY = frozenset({"TOURNEE_LISTEN_URL"})


def _line(problem: ErrorDetails) -> str:
    name, should = str(problem["loc"][0]), problem["msg"].removeprefix("Input ")
    return f"{name}: {should}." if name in _SECRETS else f"{name}: {problem['input']!r} {should}."


_SECRETS = frozenset(
    str(field.validation_alias) for field in Settings.model_fields.values() if not field.repr
)
