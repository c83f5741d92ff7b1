"""Structured logs: one JSON object a line for machines, colours for a terminal."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson
import structlog

# The id of the request for which a line is logged.
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
# The address of the client that sent the request.
CLIENT: ContextVar[str | None] = ContextVar("client", default=None)

_LEVELS = {"warn": "warning", "exception": "error"}


def _complete(_logger: object, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Add the request's id, the client's address, the level and the time to every line."""
    id = REQUEST_ID.get()
    if id is not None:
        event.setdefault("request_id", id)
    client = CLIENT.get()
    if client is not None:
        event.setdefault("client", client)
    event["level"] = _LEVELS.get(method, method)
    event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return event


class _Lines:
    """Writes each line at once, because the stream is line-buffered."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def msg(self, line: str) -> None:
        self._file.write(line + "\n")

    debug = info = warning = error = critical = exception = msg


def _json(event: object, **options: Any) -> str:
    return orjson.dumps(event, **options).decode()


def configure_logs(log_format: str) -> None:
    """Send structlog and the standard library's loggers to stderr in one form: `json` or `console`."""
    shared: list[structlog.types.Processor] = [_complete]
    # Leave out local variables: they may hold tokens, passwords and personal data.
    frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    renderer: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if log_format == "console"
        else [structlog.processors.ExceptionRenderer(frames), structlog.processors.JSONRenderer(_json)]
    )
    structlog.configure(
        processors=[*shared, *renderer],
        logger_factory=lambda *_: _Lines(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
