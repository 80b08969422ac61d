"""Referee: one place where every evaluation runs, is kept exactly once, and can be found again."""

__all__ = ["__version__"]

__version__ = "0.1.0"
