"""Set a report into a PDF and print its bytes. Runs by itself in a sandbox; knows nothing of Referee.

Usage: ``python -I typeset.py FOLDER PACKAGES``: FOLDER holds ``report.typ``, ``report.json`` and the drawings,
PACKAGES the ``typst`` package. Nothing outside of FOLDER can be read by the template, and no package fetched.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Compile and print."""
    folder, packages = sys.argv[1:3]
    sys.path.insert(0, packages)
    import typst  # noqa: PLC0415 - found only now

    # Without the time of this run the same report gives the same bytes.
    sys.stdout.buffer.write(typst.compile(f"{folder}/report.typ", root=folder, format="pdf", timestamp=0))


if __name__ == "__main__":
    main()
