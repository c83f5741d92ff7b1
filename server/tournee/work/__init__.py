"""Work: orders, the visits that carry them out, who goes, what happened and how long it took."""
