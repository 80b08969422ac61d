"""Charts: what is drawn of a project's events."""
