"""Known vulnerabilities of packages, from OSV records: the store, its import, and matching by version.

Names are imported when first asked for: the command line mounts this package's
commands, and ``referee --help`` must not pay for the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from referee.tools.advisories.exports import ImportLimits, ImportReport
    from referee.tools.advisories.importing import import_file
    from referee.tools.advisories.records import Advisory, AdvisoryGroup
    from referee.tools.advisories.store import AdvisoryStore, EcosystemData, advisory_digest

__all__ = [
    "Advisory",
    "AdvisoryGroup",
    "AdvisoryStore",
    "EcosystemData",
    "ImportLimits",
    "ImportReport",
    "advisory_digest",
    "import_file",
]

_MODULES = {
    "Advisory": "records",
    "AdvisoryGroup": "records",
    "AdvisoryStore": "store",
    "EcosystemData": "store",
    "ImportLimits": "exports",
    "ImportReport": "exports",
    "advisory_digest": "store",
    "import_file": "importing",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
