"""Known vulnerabilities of packages, from OSV records: the store, its import, and matching by version."""

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
