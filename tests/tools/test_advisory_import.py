"""Importing OSV exports: hostile sources change nothing, good ones replace the store as a whole."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from referee.core.errors import (
    Conflict,
    IntegrityError,
    InvalidInput,
    PayloadTooLarge,
    RefereeError,
    Unavailable,
)
from referee.foundation.outgoing import OutgoingGuard
from referee.tools.advisories import AdvisoryStore, ImportLimits, advisory_digest, import_file
from referee.tools.advisories.commands import app
from referee.tools.advisories.fetching import fetched_file
from referee.tools.advisories.importing import exclusive_import
from referee.tools.advisories.store import STORE_FILE

Write = Callable[..., Path]


def record(
    number: int = 1, *, ecosystem: str = "PyPI", name: str = "flask", **changes: Any
) -> dict[str, Any]:
    return {
        "id": f"GHSA-{number:04}",
        "modified": "2024-05-06T00:00:00Z",
        "published": "2024-05-06T00:00:00Z",
        "summary": "Something is wrong.",
        "affected": [
            {
                "package": {"ecosystem": ecosystem, "name": name},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
            }
        ],
        **changes,
    }


def zip_of(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.fixture
def store_dir(tmp_path: Path) -> Path:
    return tmp_path / "advisories"


@pytest.fixture
def source(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / "export"
        path.write_bytes(data)
        return path

    return write


def keys(store_dir: Path, name: str = "flask") -> list[str]:
    with AdvisoryStore.open(store_dir) as store:
        return [group.key for group in store.find_groups("PyPI", name)]


@pytest.mark.parametrize(
    "data",
    [
        zip_of(("GHSA-0001.json", dump(record()))),
        dump(record()),
        json.dumps(record(), indent=2).encode(),
        dump([record()]),
        dump({"vulns": [record()]}),
        dump(record()) + b"\n\n" + dump(record(2, ecosystem="Go")) + b"\n",
    ],
    ids=["zip", "one line", "one document", "list", "query answer", "lines"],
)
def test_each_form_of_export_is_read(store_dir: Path, source: Write, data: bytes) -> None:
    report = import_file(source(data), store_dir)
    assert report.stored_counts == {"PyPI": 1}
    assert keys(store_dir) == ["GHSA-0001"]


def test_an_import_replaces_its_ecosystem_and_keeps_the_other(store_dir: Path, source: Write) -> None:
    import_file(source(dump([record(1), record(2)])), store_dir)
    import_file(source(dump([record(3, ecosystem="npm", name="ws")])), store_dir)
    import_file(source(dump([record(4)])), store_dir)
    with AdvisoryStore.open(store_dir) as store:
        assert [group.key for group in store.find_groups("npm", "ws")] == ["GHSA-0003"]
    assert keys(store_dir) == ["GHSA-0004"]


def test_an_addition_updates_by_id_and_keeps_the_rest(store_dir: Path, source: Write) -> None:
    import_file(source(dump([record(1), record(2)])), store_dir)
    import_file(source(dump([record(2, summary="Newer."), record(3)])), store_dir, is_addition=True)
    with AdvisoryStore.open(store_dir) as store:
        found = {group.key: group.lead.summary for group in store.find_groups("PyPI", "flask")}
    assert found == {
        "GHSA-0001": "Something is wrong.",
        "GHSA-0002": "Newer.",
        "GHSA-0003": "Something is wrong.",
    }


def test_importing_again_changes_nothing(store_dir: Path, source: Write) -> None:
    path = source(dump([record(2), record(1)]))
    first, digest = import_file(path, store_dir), advisory_digest(store_dir)
    again = import_file(path, store_dir)
    assert (first.is_changed, again.is_changed, advisory_digest(store_dir)) == (True, False, digest)


def test_the_order_of_records_does_not_matter_and_the_newest_of_one_id_counts(
    store_dir: Path, source: Write
) -> None:
    old, new = record(1, summary="Old."), record(1, summary="New.", modified="2024-06-01T00:00:00Z")
    import_file(source(dump([old, new])), store_dir)
    digest = advisory_digest(store_dir)
    import_file(source(dump([new, old])), store_dir)
    assert advisory_digest(store_dir) == digest
    with AdvisoryStore.open(store_dir) as store:
        assert store.find_groups("PyPI", "flask")[0].lead.summary == "New."
        assert (store.data_of("PyPI").data_on, store.data_of("PyPI").records_count) == ("2024-06-01", 1)


def test_bad_records_are_put_aside_and_counted(store_dir: Path, source: Write, tmp_path: Path) -> None:
    data = zip_of(
        ("GHSA-0001.json", dump(record())),
        ("../../../escape.json", b"{"),
        ("/etc/cron.d/x.json", b"[]"),
        ("inner.zip", zip_of(("GHSA-0009.json", dump(record(9))))),
        ("inner.json", zip_of(("GHSA-0009.json", dump(record(9))))),
        ("deep.json", b"[" * 100_000),
        ("future.json", dump(record(5, modified="2999-01-01T00:00:00Z"))),
        ("withdrawn.json", dump(record(6, withdrawn="2024-01-01T00:00:00Z"))),
        ("other.json", dump(record(7, ecosystem="Go"))),
        ("control\x07\u202e.json", b"?"),
    )
    before = sorted(path for path in tmp_path.rglob("*"))
    report = import_file(source(data), store_dir)
    assert (report.stored_counts, report.withdrawn_count, report.other_count) == ({"PyPI": 1}, 1, 1)
    assert [reason for _, reason in report.refused] == [
        "not JSON", "not a JSON object", "not a JSON file", "not JSON", "not JSON", "changed in the future", "not JSON",
    ]  # fmt: skip
    assert all(where.isprintable() for where, _ in report.refused)
    made = {path.name for path in tmp_path.rglob("*")} - {path.name for path in before}
    assert made == {"advisories", STORE_FILE, ".import.lock", "export"}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"PK\x03\x04", b"hello", b"\x1f\x8b\x08", b"[]", dump({"id": 5}), zip_of(), zip_of(("a.txt", b"x")),
        zip_of(("GHSA-0001.json", dump(record())))[:-30], dump(record())[:-5], dump(record(ecosystem="Go")),
    ],
)  # fmt: skip
def test_a_source_without_a_usable_record_is_refused_and_changes_nothing(
    store_dir: Path, source: Write, data: bytes
) -> None:
    import_file(source(dump(record(1))), store_dir)
    digest = advisory_digest(store_dir)
    with pytest.raises(InvalidInput):
        import_file(source(data), store_dir)
    assert advisory_digest(store_dir) == digest
    assert {path.name for path in store_dir.iterdir()} == {STORE_FILE, ".import.lock"}


@pytest.mark.parametrize(
    ("limits", "data"),
    [
        (ImportLimits(source_bytes=10), dump(record())),
        (ImportLimits(records_count=1), dump([record(1), record(2)])),
        (ImportLimits(records_count=1), zip_of(("1.json", dump(record(1))), ("2.json", dump(record(2))))),
        (ImportLimits(document_bytes=10), dump([record()])),
        (ImportLimits(directory_bytes=20), zip_of(("1.json", dump(record(1))))),
        (
            ImportLimits(unpacked_bytes=1000),
            zip_of(*((f"{n}.json", b" " * 900 + dump(record(n))) for n in range(3))),
        ),
    ],
)
def test_every_limit_refuses_the_whole_source(
    store_dir: Path, source: Write, limits: ImportLimits, data: bytes
) -> None:
    with pytest.raises(PayloadTooLarge):
        import_file(source(data), store_dir, limits=limits)
    assert not (store_dir / STORE_FILE).exists()


def test_a_bomb_in_the_archive_is_not_unpacked(store_dir: Path, source: Write) -> None:
    data = zip_of(("bomb.json", b" " * 50_000_000), ("GHSA-0001.json", dump(record())))
    report = import_file(source(data), store_dir, limits=ImportLimits(record_bytes=100_000))
    assert report.refused == [("bomb.json", "larger than 100000 bytes")]
    assert report.stored_counts == {"PyPI": 1}


def test_an_entry_that_lies_about_its_size_or_content_is_put_aside(store_dir: Path, source: Write) -> None:
    good = zip_of(
        ("GHSA-0001.json", dump(record(1))),
        ("GHSA-0002.json", dump(record(2))),
        compression=zipfile.ZIP_STORED,
    )
    report = import_file(source(good.replace(b'"GHSA-0002"', b'"GHSA-0003"', 1)), store_dir)
    assert report.refused == [("GHSA-0002.json", "damaged in the archive")]
    assert keys(store_dir) == ["GHSA-0001"]


def test_long_lines_are_put_aside_without_losing_the_next(store_dir: Path, source: Write) -> None:
    lines = [dump(record(1)), b'{"id": "' + b"x" * 5000 + b'"}', dump(record(2))]
    report = import_file(source(b"\n".join(lines)), store_dir, limits=ImportLimits(record_bytes=1000))
    assert report.refused == [("line 2", "larger than 1000 bytes")]
    assert keys(store_dir) == ["GHSA-0001", "GHSA-0002"]


def test_a_second_import_at_the_same_time_is_refused(store_dir: Path, source: Write) -> None:
    store_dir.mkdir()
    with exclusive_import(store_dir), pytest.raises(Conflict):
        import_file(source(dump(record())), store_dir)


def test_a_reader_keeps_what_it_opened_while_the_store_is_replaced(store_dir: Path, source: Write) -> None:
    import_file(source(dump(record(1))), store_dir)
    with AdvisoryStore.open(store_dir) as store:
        import_file(source(dump(record(2))), store_dir)
        assert [group.key for group in store.find_groups("PyPI", "flask")] == ["GHSA-0001"]
    assert keys(store_dir) == ["GHSA-0002"]


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\x00" + b"\x00" * 200])
def test_a_damaged_store_is_told_and_an_import_heals_it(
    store_dir: Path, source: Write, content: bytes
) -> None:
    store_dir.mkdir()
    (store_dir / STORE_FILE).write_bytes(content)
    with pytest.raises(IntegrityError):
        AdvisoryStore.open(store_dir)
    import_file(source(dump(record(1))), store_dir)
    assert keys(store_dir) == ["GHSA-0001"]


@pytest.mark.parametrize("name", ["missing", "folder"])
def test_what_is_no_file_is_refused(tmp_path: Path, store_dir: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidInput):
        import_file(tmp_path / name, store_dir)


class Mirror(BaseHTTPRequestHandler):
    """A mirror of exports that also misbehaves."""

    def do_GET(self) -> None:
        location = {
            "/moved": "/export.zip",
            "/file": "file:///etc/passwd",
            "/up": "https://h/x",
        }
        path = self.path.split("?", 1)[0]
        if path in location:
            self.send_response(302)
            self.send_header("Location", location[path])
            self.end_headers()
            return
        self.send_response(200 if path == "/export.zip" else 404)
        self.end_headers()
        self.wfile.write(zip_of(("GHSA-0001.json", dump(record()))))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def mirror() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


OWN = OutgoingGuard(("127.0.0.1",))


def test_an_export_is_fetched_and_named_without_secrets(mirror: str, store_dir: Path) -> None:
    address = mirror.replace("http://", "http://user:secret@")
    with fetched_file(f"{address}/export.zip?token=1", store_dir, OWN) as (path, shown):
        report = import_file(path, store_dir, source=shown)
    assert (report.source, keys(store_dir)) == (f"{mirror}/export.zip", ["GHSA-0001"])
    assert {one.name for one in store_dir.iterdir()} == {STORE_FILE, ".import.lock"}


@pytest.mark.parametrize(
    ("path", "error"),
    [("/file", InvalidInput), ("/up", InvalidInput), ("/moved", InvalidInput), ("/missing", Unavailable)],
)
def test_bad_answers_are_refused(mirror: str, store_dir: Path, path: str, error: type[RefereeError]) -> None:
    with pytest.raises(error), fetched_file(mirror + path, store_dir, OWN):
        pass
    assert list(store_dir.iterdir()) == []


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://h/x", "http://", "http://[", "http://127.0.0.1:1/x"]
)
def test_bad_addresses_are_refused(address: str, store_dir: Path) -> None:
    with pytest.raises((InvalidInput, Unavailable)), fetched_file(address, store_dir, OWN):
        pass


def test_a_download_over_the_limit_is_stopped(mirror: str, store_dir: Path) -> None:
    limits = ImportLimits(source_bytes=100)
    with pytest.raises(PayloadTooLarge), fetched_file(f"{mirror}/export.zip", store_dir, OWN, limits):
        pass


def test_the_commands_import_and_show(tmp_path: Path, source: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFEREE_HOME", str(tmp_path / "home"))
    runner = CliRunner()
    before = runner.invoke(app, ["show"])
    assert "from bundled with Referee" in before.stdout
    imported = runner.invoke(app, ["import", str(source(dump([record(1), {"id": "?"}])))])
    assert imported.stdout == (
        "Stored 1 for PyPI.\n"
        "Left out: 0 withdrawn, 0 of other ecosystems, 1 refused.\n"
        "  refused record 2: no usable id\n"
    )
    shown = json.loads(runner.invoke(app, ["show", "--format", "json"]).stdout)
    pypi, npm = shown["ecosystems"]
    assert (pypi["data_on"], pypi["records_count"], pypi["is_bundled"]) == ("2024-05-06", 1, False)
    assert npm["is_bundled"] is True
    assert shown["last_import"]["refused"] == [["record 2", "no usable id"]]
    assert "The last import refused 1 of 2 records." in runner.invoke(app, ["show"]).stdout


def test_mounting_the_commands_imports_neither_the_store_nor_the_http_client() -> None:
    code = (
        "import sys; import referee.tools.advisories.commands; "
        "print(sorted({'httpx', 'sqlite3', 'zipfile', 'referee.tools.advisories.store'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
