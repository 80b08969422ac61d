"""Annotation queues: events that people are to look at."""
