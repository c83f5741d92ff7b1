"""The environment is read correctly, or refused in one line that names the variable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tournee import shipped
from tournee.cli.settings import with_settings
from tournee.settings import Settings, UnusableSetting, read_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("TOURNEE_WORKERS", "0"),
        ("TOURNEE_WORKERS", "two"),
        ("TOURNEE_DEMO", "maybe"),
        ("TOURNEE_ACCESS_TOKEN_SECONDS", "15m"),
        ("TOURNEE_REFRESH_TOKEN_DAYS", "-1"),
        ("TOURNEE_BODY_LIMIT", "8MB"),
        ("TOURNEE_LOG_FORMAT", "xml"),
        ("TOURNEE_HEARTBEAT_SECONDS", "nan"),
        ("TOURNEE_HEARTBEAT_SECONDS", "soon"),
        ("TOURNEE_WEB_ORIGINS", "https://app.example.org/"),
        ("TOURNEE_WEB_ORIGINS", "app.example.org"),
        # Browsers send lower case, so this would never match.
        ("TOURNEE_WEB_ORIGINS", "https://App.example.org"),
        ("TOURNEE_HOSTS", "API.example.org"),
        ("TOURNEE_HOSTS", "https://api.example.org"),
        ("TOURNEE_HOSTS", "api.example.org:443"),
        ("TOURNEE_HOSTS", "api.*.org"),
        ("TOURNEE_TRUSTED_PROXIES", "proxy.example.org"),
        ("TOURNEE_TRUSTED_PROXIES", "10.0.0.7/8"),
        ("TOURNEE_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TOURNEE_HORIZON_DAYS", "90 days"),
        ("TOURNEE_METRICS_TOKEN", "secret"),
        ("TOURNEE_METRICS_TOKEN", "secret with a space"),
        ("TOURNEE_LISTEN_URL", "sqlite:///secret.db"),
        ("TOURNEE_LISTEN_URL", "mysql://demo:secret@db/demo"),
        ("TOURNEE_READ_URL", "postgresql://demo:secret@db/demo"),
        ("TOURNEE_READ_URL", "sqlite:///secret.db"),
        ("TOURNEE_SECRET_KEY", "secret"),
        ("TOURNEE_SECRET_KEY", "0123456789abcdef0123456789abcdef secret"),
        ("TOURNEE_OPERATIONS_DAYS", "1e3"),
        ("TOURNEE_PARKED_DAYS", "30.5"),
        ("DATABASE_URL", "mysql://demo:secret@db/demo"),
        ("DATABASE_URL", "postgresql://demo:secret@db:port/demo"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "demo.db"),
    ],
)
def test_an_unusable_variable_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(UnusableSetting) as refused:
        read_settings({name: value})
    assert str(refused.value).startswith(f"{name}: ")
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_every_wrong_variable_is_named_at_once() -> None:
    wrong = {"PORT": "http", "DATABASE_URL": "mysql://db", "TOURNEE_LOG_FORMAT": "xml", "TOURNEE_HOST": "::1"}
    with pytest.raises(UnusableSetting) as refused:
        read_settings(wrong)
    # TOURNEE_WORKERS is left out, as its default depends on the database.
    assert str(refused.value).splitlines() == [
        "DATABASE_URL: should be sqlite:///FILE or postgresql://USER@HOST/NAME.",
        "PORT: 'http' should be a valid integer, unable to parse string as an integer.",
        "TOURNEE_LOG_FORMAT: 'xml' should be 'json' or 'console'.",
    ]


def test_an_empty_variable_counts_as_unset() -> None:
    names = {str(field.validation_alias) for field in Settings.model_fields.values()}
    names.remove("TOURNEE_LISTEN_URL")
    assert "TOURNEE_WEB_ORIGINS" in names
    for blank in ("", " "):
        assert read_settings(dict.fromkeys(names, blank)) == read_settings({}) == Settings()


def test_an_empty_listen_url_means_none() -> None:
    url = "postgresql://u@db/x"
    assert read_settings({"DATABASE_URL": url}).listen_url == url
    assert read_settings({"DATABASE_URL": url, "TOURNEE_LISTEN_URL": " "}).listen_url == ""


def test_a_replica_needs_notices() -> None:
    urls = {"DATABASE_URL": "postgresql://db/x", "TOURNEE_READ_URL": "postgresql://copy/x"}
    assert read_settings(urls).read_url == "postgresql://copy/x"
    with pytest.raises(UnusableSetting, match=r"^TOURNEE_READ_URL: .* TOURNEE_LISTEN_URL"):
        read_settings({**urls, "TOURNEE_LISTEN_URL": ""})
    with pytest.raises(UnusableSetting, match=r"^TOURNEE_READ_URL: "):
        read_settings({**urls, "TOURNEE_READ_URL": "mysql://copy/x"})


def test_defaults_depend_on_other_settings() -> None:
    assert read_settings({"TOURNEE_DIRECTORY": "/d"}).database_url == "sqlite:////d/tournee.db"
    assert read_settings({"DATABASE_URL": "sqlite:///x"}).workers == 1
    assert read_settings({"DATABASE_URL": "postgresql://db/x"}).workers == 2
    with pytest.raises(UnusableSetting, match=r"^TOURNEE_WORKERS: .* SQLite"):
        read_settings({"TOURNEE_WORKERS": "2"})


@pytest.mark.parametrize(
    "text", ["https://a.example,https://b.example", " https://a.example, https://b.example "]
)
def test_a_list_setting_is_separated_by_commas_or_spaces(text: str) -> None:
    assert read_settings({"TOURNEE_WEB_ORIGINS": text}).web_origins == (
        "https://a.example",
        "https://b.example",
    )


def test_only_read_settings_uses_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9")
    assert (Settings().port, read_settings({}).port, read_settings().port) == (8000, 8000, 9)


def test_settings_are_immutable() -> None:
    settings = read_settings({"DATABASE_URL": "postgresql://u:secret@db/x"})
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1
    assert "secret" not in repr(settings)


def test_the_operators_page_documents_every_setting() -> None:
    page = (shipped.folder("docs") / "operating.md").read_text("utf-8")
    assert page == with_settings(page), "run `make schema` and commit docs/operating.md"
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("name", "field", "least"),
    [
        ("PORT", "port", 0),
        ("TOURNEE_HORIZON_DAYS", "horizon_days", 0),
        ("TOURNEE_OPERATIONS_DAYS", "operations_days", 0),
        ("TOURNEE_PARKED_DAYS", "parked_days", 0),
        ("TOURNEE_BODY_LIMIT", "body_limit", 1),
        ("TOURNEE_ACCESS_TOKEN_SECONDS", "access_token_seconds", 1),
        ("TOURNEE_REFRESH_TOKEN_DAYS", "refresh_token_days", 1),
        ("TOURNEE_WORKERS", "workers", 1),
        ("TOURNEE_HEARTBEAT_SECONDS", "heartbeat_seconds", 0.001),
    ],
)
def test_a_number_has_a_minimum_and_a_maximum(name: str, field: str, least: float) -> None:
    most = 65535 if name == "PORT" else 2**31 - 1
    base = {"DATABASE_URL": "postgresql://db/x"}
    for value in (least, most):
        assert getattr(read_settings(base | {name: str(value)}), field) == value
    for value in (0 if least == 0.001 else least - 1, most + 1):
        with pytest.raises(UnusableSetting, match=f"^{name}: "):
            read_settings(base | {name: str(value)})


@pytest.mark.parametrize(("value", "on"), [("1", True), ("Yes", True), ("off", False), ("0", False)])
def test_the_demo_setting_is_on_or_off(value: str, on: bool) -> None:
    assert read_settings({"TOURNEE_DEMO": value}).demo is on


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOURNEE_HORIZON_DAYS", "ninety"),
        ("DATABASE_URL", "sqlite:////dev/null/demo.db"),
        ("DATABASE_URL", "sqlite:////dev"),
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/demo"),
    ],
)
def test_a_wrong_variable_is_reported_in_one_line(tmp_path: Path, name: str, value: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOURNEE_")}
    told = subprocess.run(
        [sys.executable, "-c", "from tournee.cli import main; main()", "migrate"],
        cwd=tmp_path,
        env={**kept, "TOURNEE_DIRECTORY": str(tmp_path), name: value},
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = told.stderr.splitlines()
    assert (told.returncode, line.partition(":")[0]) == (2, name)
