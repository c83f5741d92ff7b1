"""Tournée: the open-source backend for service operations."""

__version__ = "0.1.0"
