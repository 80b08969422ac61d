"""Reports."""


def summary(items: list[str]) -> str:
    """Return how many items there are."""
    return str(len(items))
