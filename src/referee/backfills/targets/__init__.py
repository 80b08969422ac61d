"""Databases that a backfill rewrites: a SQLite file, or PostgreSQL."""
