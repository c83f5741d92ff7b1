"""Assets: what customers have installed and what technicians carry, with meters and readings."""
