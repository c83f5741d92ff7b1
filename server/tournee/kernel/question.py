"""Questions: compiled statements that the API keeps. `Kernel.ask` runs them."""

from __future__ import annotations

from tournee.engine.border import OWN
from tournee.engine.questions import Question

__all__ = ["OWN", "Question"]
