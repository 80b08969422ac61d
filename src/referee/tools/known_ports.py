"""Well-known TCP ports: services that only the app itself should reach, and ports of forgotten web servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from referee.core.vocabulary import Severity

__all__ = ["KNOWN_SERVICES", "WEB_PORTS", "KnownService"]


@dataclass(frozen=True, slots=True)
class KnownService:
    """What usually answers on a port, and how bad it is when others reach it."""

    name: str
    severity: Severity
    cwe_ids: tuple[int, ...] = (668,)


KNOWN_SERVICES: Final[dict[int, KnownService]] = {
    21: KnownService("FTP", Severity.medium, (319, 668)),
    22: KnownService("SSH", Severity.low),
    23: KnownService("Telnet", Severity.medium, (319, 668)),
    25: KnownService("SMTP", Severity.low),
    53: KnownService("DNS", Severity.low),
    110: KnownService("POP3", Severity.low),
    111: KnownService("portmapper", Severity.low),
    139: KnownService("NetBIOS", Severity.medium),
    143: KnownService("IMAP", Severity.low),
    445: KnownService("SMB", Severity.medium),
    1433: KnownService("SQL Server", Severity.medium),
    1521: KnownService("Oracle", Severity.medium),
    2375: KnownService("the Docker engine", Severity.high, (306, 668)),
    2379: KnownService("etcd", Severity.medium),
    3306: KnownService("MySQL", Severity.medium),
    4369: KnownService("Erlang's port mapper", Severity.low),
    5432: KnownService("PostgreSQL", Severity.medium),
    5555: KnownService("a debug bridge or Flower", Severity.medium),
    5672: KnownService("RabbitMQ", Severity.medium),
    5678: KnownService("Python's debugger", Severity.high, (489, 668)),
    5984: KnownService("CouchDB", Severity.medium),
    6379: KnownService("Redis", Severity.medium, (306, 668)),
    8086: KnownService("InfluxDB", Severity.medium),
    8500: KnownService("Consul", Severity.medium),
    8888: KnownService("Jupyter", Severity.medium),
    9092: KnownService("Kafka", Severity.medium),
    9200: KnownService("Elasticsearch", Severity.medium, (306, 668)),
    9229: KnownService("Node's debugger", Severity.high, (489, 668)),
    11211: KnownService("memcached", Severity.medium, (306, 668)),
    15672: KnownService("RabbitMQ's management", Severity.medium),
    27017: KnownService("MongoDB", Severity.medium, (306, 668)),
}
"""By port number.

Source:
    IANA service name and transport protocol port number registry, and each product's documented default.
"""

WEB_PORTS: Final = (80, 443, 3000, 3001, 4000, 4200, 5000, 5001, 5173, 8000, 8001, 8080, 8443, 9000)
"""Ports on which development servers listen unless told otherwise."""
