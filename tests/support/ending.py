"""A run that is told to end ends what it has started, as at Ctrl-C. By itself Python does so at SIGINT only,
and not where a shell has started it in the background."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SENT = (signal.SIGTERM, signal.SIGINT)


def end_tidily() -> None:
    """Let SIGTERM and SIGINT interrupt this process once; a second Ctrl-C breaks off the tidying up.

    Whoever ends a whole group of processes sends SIGTERM to workers whose parent sends it once more.
    """
    for sent in _SENT:
        signal.signal(sent, _interrupt)


def _interrupt(*_: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise KeyboardInterrupt


@contextmanager
def undisturbed() -> Iterator[None]:
    """The end waits until this is done: half of it could not be tidied up."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
