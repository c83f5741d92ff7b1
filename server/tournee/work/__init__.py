"""Work: orders, the visits that carry them out, their crews, and what happened on them."""
