"""One file is one backfill. The registry finds them by file name."""
