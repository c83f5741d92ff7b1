"""Waiting: operations that were received and cannot run yet, why they wait, and how they continue."""
