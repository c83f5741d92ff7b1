"""Questions: compiled statements that the API keeps. `Kernel.ask` runs them, and `ask` on a session
that is open."""

from __future__ import annotations

from tournee.engine.border import OWN
from tournee.engine.questions import Question, ask

__all__ = ["OWN", "Question", "ask"]
