"""Metrics that judge events and runs, in versions."""
