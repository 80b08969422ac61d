"""The bill of materials of an app as a CycloneDX document, the same for the same source byte by byte.

Its number follows from the source, and it has no time of its own. What could not be read stands in it as
a property, and ``compositions`` says whether the list may be short.

Source:
    CycloneDX 1.6 (ECMA-424); package-url specification.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from referee import __version__
from referee.apps.bill_of_materials.contract import Archive, Bill, Package, PackageKey, Use
from referee.apps.bill_of_materials.npm_reading import read_npm_packages
from referee.apps.bill_of_materials.python_reading import read_python_packages
from referee.core.sources import SourceSnapshot

if TYPE_CHECKING:
    from cyclonedx.model import ExternalReference, HashType, Property
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

__all__ = ["MEDIA_TYPE", "build_bill", "render_bill"]

MEDIA_TYPE: Final = "application/vnd.cyclonedx+json"
_NAMESPACE: Final = UUID("6a1f8f0e-4c2b-5d3a-9e71-0c5b7d2e9f48")
"""Ours: bills of materials of sources."""
_ALGORITHMS: Final = {
    "md5": "MD5",
    "sha1": "SHA-1",
    "sha256": "SHA-256",
    "sha384": "SHA-384",
    "sha512": "SHA-512",
}
_SCOPES: Final = {Use.required: "required", Use.optional: "optional", Use.development: "excluded"}


def build_bill(snapshot: SourceSnapshot) -> Bill:
    """Return the packages that the dependency files of a source name. Blocking; nothing of it is executed."""
    bill = Bill()
    read_python_packages(snapshot, bill)
    read_npm_packages(snapshot, bill)
    if bill.packages and not bill.direct:
        needed = {key for package in bill.packages.values() for key in package.needs}
        bill.direct = set(bill.packages) - needed or set(bill.packages)
        bill.note_gap(
            "dependencies",
            "what the app itself asks for is not known; it is taken for what nothing else needs",
        )
    return bill


def render_bill(snapshot: SourceSnapshot, name: str) -> bytes:
    """Return the CycloneDX document of a source. Blocking.

    Args:
        snapshot: Of the app.
        name: How people call the app.
    """
    from cyclonedx.model import Property  # noqa: PLC0415 - only where a bill is asked for
    from cyclonedx.model.bom import Bom, BomMetaData  # noqa: PLC0415
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415
    from cyclonedx.model.tool import ToolRepository  # noqa: PLC0415
    from cyclonedx.output.json import JsonV1Dot6  # noqa: PLC0415

    bill = build_bill(snapshot)
    root = f"app:{snapshot.source_digest}"
    bom = Bom(
        serial_number=uuid5(_NAMESPACE, snapshot.source_digest),
        metadata=BomMetaData(
            component=Component(name=name, type=ComponentType.APPLICATION, bom_ref=root),
            tools=ToolRepository(
                components=[Component(name="referee", version=__version__, type=ComponentType.APPLICATION)]
            ),
        ),
        properties=[
            Property(name="referee:source_digest", value=snapshot.source_digest),
            *(Property(name="referee:dependency_file", value=path) for path in sorted(set(bill.files))),
            *(Property(name="referee:gap", value=gap) for gap in bill.gaps),
            *_build_gap_count(bill, Property),
        ],
    )
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"]  # the same source is the same document
    # The library compares every component with every other one when it adds them to a document.
    keys = sorted(bill.packages)
    document["components"] = [_render_component(bill.packages[key]) for key in keys]
    document["dependencies"] = [
        _render_needs(root, bill.direct, bill),
        *(_render_needs(_find_ref(bill.packages[key]), bill.packages[key].needs, bill) for key in keys),
    ]
    document["compositions"] = [{"aggregate": _judge_composition(bill), "assemblies": [root]}]
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def _render_needs(ref: str, needs: Collection[PackageKey], bill: Bill) -> dict[str, Any]:
    needed = sorted(_find_ref(bill.packages[key]) for key in needs)
    return {"ref": ref, "dependsOn": needed} if needed else {"ref": ref}


def _render_component(package: Package) -> dict[str, Any]:
    from cyclonedx.schema.schema import SchemaVersion1Dot6  # noqa: PLC0415 - only where a bill is asked for

    component = _build_component(package)
    text = component.as_json(view_=SchemaVersion1Dot6)  # type: ignore[attr-defined]  # its serializer adds it
    rendered: dict[str, Any] = json.loads(text)
    return rendered


def _find_ref(package: Package) -> str:
    """Return what the document calls a package: its address, where that is its alone."""
    ecosystem, name, version = package.key
    if package.origin or name != name.lower():  # addresses of npm know no capitals, its old names do
        return f"{package.origin or 'registry'}:{ecosystem}/{name}@{version}"
    return str(_build_purl(package.key))


def _judge_composition(bill: Bill) -> str:
    """Return whether all packages are named: only locks that could be read whole do so."""
    if not bill.files and not bill.gaps:
        return "unknown"
    return "incomplete" if bill.gaps or bill.loose_files else "complete"


def _build_gap_count(bill: Bill, make: type[Property]) -> list[Property]:
    hidden_count = bill.gaps_count - len(bill.gaps)
    return [make(name="referee:gaps_left_out_count", value=str(hidden_count))] if hidden_count else []


def _build_component(package: Package) -> Component:
    from cyclonedx.model import Property  # noqa: PLC0415
    from cyclonedx.model.component import Component, ComponentScope, ComponentType  # noqa: PLC0415

    _, name, version = package.key
    purl = _build_purl(package.key)
    group, separator, short = name.partition("/")
    archives = sorted(package.archives)
    is_one_file = len({archive.algorithm for archive in archives}) == len(archives)
    properties = [Property(name="referee:declared_in", value=path) for path in sorted(package.paths)]
    properties += [Property(name="referee:wanted", value=wanted) for wanted in sorted(package.wanted)]
    if package.origin:
        properties.append(Property(name="referee:origin", value=package.origin))
    return Component(
        name=short if separator else name,
        group=group if separator else None,
        version=version or None,
        type=ComponentType.LIBRARY,
        scope=ComponentScope(_SCOPES[package.use]),
        # What comes from an address or a path is not the package that the registry has under this name.
        purl=None if package.origin else purl,
        bom_ref=_find_ref(package),
        hashes=[_build_hash(archive) for archive in archives] if is_one_file else (),
        external_references=() if is_one_file else _build_references(purl, archives),
        properties=properties,
    )


def _build_purl(key: PackageKey) -> PackageURL:
    from packageurl import PackageURL  # noqa: PLC0415

    ecosystem, name, version = key
    namespace, separator, short = name.partition("/")
    return PackageURL(
        type=ecosystem,
        namespace=namespace if separator else None,
        name=short if separator else name,
        version=version or None,
    )


def _build_hash(archive: Archive) -> HashType:
    from cyclonedx.model import HashAlgorithm, HashType  # noqa: PLC0415

    return HashType(alg=HashAlgorithm(_ALGORITHMS[archive.algorithm]), content=archive.digest)


def _build_references(purl: PackageURL, archives: list[Archive]) -> list[ExternalReference]:
    """Return the files of a release, each with its digest: a component's own hashes are those of one file."""
    from urllib.parse import quote  # noqa: PLC0415

    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri  # noqa: PLC0415

    return [
        ExternalReference(
            type=ExternalReferenceType.DISTRIBUTION,
            url=XsUri(quote(archive.name) if archive.name else purl.to_string()),
            hashes=[_build_hash(archive)],
        )
        for archive in archives
    ]
