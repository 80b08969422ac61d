"""Set a video's report into a PDF and print its bytes. Runs by itself in a sandbox; knows nothing of Referee.

Usage: ``python -I typeset.py FOLDER PACKAGES``: FOLDER holds the template, ``report.json`` and the pictures.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Compile and print; without the time of this run the same report gives the same bytes."""
    folder, packages = sys.argv[1:3]
    sys.path.insert(0, packages)
    import typst  # noqa: PLC0415 - found only now

    sys.stdout.buffer.write(typst.compile(f"{folder}/report.typ", root=folder, format="pdf", timestamp=0))


if __name__ == "__main__":
    main()
