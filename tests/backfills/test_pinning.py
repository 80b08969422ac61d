"""An address of a database that somebody sends to a server leads only where the operator lets it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.foundation.outgoing.payloads import listener, make_payloads
from tests.web_site import open_web_client

from referee.backfills.targets.pinning import pin_postgres_address
from referee.core.errors import Forbidden, InvalidInput, RefereeError, Unavailable
from referee.foundation.outgoing import OutgoingGuard
from referee.foundation.settings import Settings


def resolve(host: str, port: int) -> list[str]:
    places = {
        "db.example": ["8.8.8.8", "2606:4700::1111"],
        "inner.example": ["10.1.2.3"],
        "mixed.example": ["8.8.8.8", "10.9.9.9"],
    }
    if host not in places:
        raise OSError
    return places[host]


GUARD = OutgoingGuard(("10.1.2.3",), resolve=resolve)


def test_address_is_fixed_to_what_was_judged() -> None:
    pinned = pin_postgres_address(
        "postgresql+psycopg://me%40home@DB.example:6543/my%20db?sslmode=verify-full", GUARD
    )
    assert conninfo_to_dict(pinned) == {
        "user": "me@home",
        "host": "db.example,db.example",
        "hostaddr": "8.8.8.8,2606:4700::1111",
        "port": "6543,6543",
        "dbname": "my db",
        "sslmode": "verify-full",
    }
    assert conninfo_to_dict(pin_postgres_address("postgres://[2606:4700::1111]/x", GUARD)) == {
        "host": "2606:4700::1111",
        "hostaddr": "2606:4700::1111",
        "port": "5432",
        "dbname": "x",
    }
    assert (
        conninfo_to_dict(pin_postgres_address("postgresql://inner.example/x", GUARD))["hostaddr"]
        == "10.1.2.3"
    )


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("postgresql:///x", InvalidInput),
        ("postgresql://%2Frun%2Fpostgresql/x", InvalidInput),
        ("postgresql://@/x?host=/run/postgresql", InvalidInput),
        ("postgresql://db.example/x?hostaddr=127.0.0.1", InvalidInput),
        ("postgresql://db.example/x?service=other", InvalidInput),
        ("postgresql://db.example/x?passfile=/etc/passwd", InvalidInput),
        ("postgresql://db.example/x?sslrootcert=/etc/passwd", InvalidInput),
        ("postgresql://db.example,127.0.0.1/x", InvalidInput),
        ("postgresql://db.example:1,db.example:2/x", InvalidInput),
        ("postgresql://db.example:0/x", InvalidInput),
        ("postgresql://db.example:99999/x", InvalidInput),
        ("postgresql://db.example/x?host=127.0.0.1", Forbidden),
        ("postgresql://mixed.example/x", Forbidden),
        ("postgresql://localhost/x", Unavailable),
        ("postgresql://169.254.169.254/x", Forbidden),
    ],
)
def test_address_that_leads_elsewhere_is_refused(address: str, error: type[RefereeError]) -> None:
    with pytest.raises(error):
        pin_postgres_address(address, GUARD)


@asynccontextmanager
async def open_client(settings: Settings, **changes: object) -> AsyncIterator[httpx.AsyncClient]:
    async with open_web_client(settings.model_copy(update=changes)) as client:
        yield client


async def test_no_spelling_of_a_private_address_is_connected_to(database_settings: Settings) -> None:
    answers = set()
    with listener() as seen:
        payloads = make_payloads(seen.port)
        async with open_client(database_settings) as client:
            for payload in payloads:
                place = payload.url.removeprefix("http://").removesuffix("/x")
                for address in {f"postgresql://{place}/x", payload.url.replace("http", "postgresql", 1)}:
                    body = {"backfill": "audit-decisions", "database": address}
                    answers.add((await client.post("/v1/backfill-runs", json=body)).status_code)
    assert len(payloads) >= 300
    assert answers <= {400, 403, 404, 422, 503}
    assert seen.connections == []


async def test_host_that_the_operator_names_is_connected_to(database_settings: Settings) -> None:
    with listener() as seen:
        async with open_client(database_settings, outgoing_allowed=["127.0.0.1"]) as client:
            body = {"backfill": "audit-decisions", "database": f"postgresql://127.0.0.1:{seen.port}/x"}
            answer = await client.post("/v1/backfill-runs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (503, "backfill.database_unreachable")
    assert len(seen.connections) == 1
