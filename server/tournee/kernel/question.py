"""Questions: statements that are kept, for whoever reads without a session. `Kernel.ask` runs them."""

from __future__ import annotations

from tournee.engine.questions import OWN, Question

__all__ = ["OWN", "Question"]
