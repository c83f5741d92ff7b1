"""A run that receives SIGTERM cleans up as after Ctrl-C.

Python itself does so only at SIGINT, and not when a shell started it in the background.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SENT = (signal.SIGTERM, signal.SIGINT)


def end_tidily() -> None:
    """Let SIGTERM and SIGINT interrupt this process once; a second Ctrl-C aborts the cleanup.

    Later SIGTERMs are ignored: ending a process group sends it to workers whose parent sends it again.
    """
    for sent in _SENT:
        signal.signal(sent, _interrupt)


def _interrupt(*_: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise KeyboardInterrupt


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delay signals until the block ends, as a half-done start could not be cleaned up."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
