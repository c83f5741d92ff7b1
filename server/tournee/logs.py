"""Structured logs: one JSON object a line for machines, colours for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import structlog


def _json(event: object, **options: Any) -> str:
    return orjson.dumps(event, **options).decode()


def configure_logs(log_format: str) -> None:
    """Send structlog and the standard library's loggers to stderr in one form: `json` or `console`."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Without the values of local variables: tokens, passwords and people's data are among them.
    frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    renderer: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if log_format == "console"
        else [structlog.processors.ExceptionRenderer(frames), structlog.processors.JSONRenderer(_json)]
    )
    structlog.configure(
        processors=[*shared, *renderer],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
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
