"""Receivers that notifications really go to: a webhook that checks signatures, and a mail server with TLS."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from referee.alerts.signing import verify_message
from referee.core.errors import Unauthorized

__all__ = ["Mailbox", "Webhook", "make_certificate", "open_mailbox", "open_webhook"]


@dataclass
class Webhook:
    """What a receiver of webhooks saw."""

    url: str
    secret: str = ""
    """Checked when it is set."""
    status: int = 200
    pause_s: float = 0.0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    refused_count: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def states(self) -> list[str]:
        """What was told, once for each message id, in order."""
        once = {
            head.get("webhook-id", str(index)): body
            for index, (head, body) in enumerate(zip(self.headers, self.bodies, strict=True))
        }
        return [str(body["type"]) for body in once.values()]


@contextmanager
def open_webhook(host: str = "127.0.0.1", *, location: str = "") -> Iterator[Webhook]:
    """Listen for webhooks."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = seen.status
            if seen.secret:
                try:
                    verify_message(seen.secret, headers, body, now_s=time.time())
                except Unauthorized:
                    seen.refused_count += 1
                    status = 401
            seen.headers.append(headers)
            seen.bodies.append(json.loads(body))
            if seen.pause_s:
                seen.released.wait(seen.pause_s)
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer((host, 0), Handler) as server:
        server.daemon_threads = True
        seen = Webhook(f"http://{host}:{server.server_port}/hook")
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield seen
        seen.released.set()
        server.shutdown()


@dataclass
class Mailbox:
    """What a mail server took."""

    port: int
    messages: list[EmailMessage] = field(default_factory=list)
    secured_count: int = 0
    logins: list[str] = field(default_factory=list)


def make_certificate(folder: Path) -> Path:
    """Return a file with a key and its own certificate for ``localhost``."""
    path = folder / "mail.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-keyout", str(path), "-out", str(folder / "mail.crt"),
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    path.write_text(path.read_text() + (folder / "mail.crt").read_text())
    return path


@contextmanager
def open_mailbox(certificate: Path, *, is_tls: bool = False) -> Iterator[Mailbox]:
    """Serve SMTP on loopback: with STARTTLS, or TLS from the first byte."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connection: socket.socket = self.request
            if is_tls:
                connection = context.wrap_socket(connection, server_side=True)
                box.secured_count += 1
            reader = connection.makefile("rb")
            connection.sendall(b"220 localhost ESMTP\r\n")
            while line := reader.readline():
                word = line.decode("latin-1").strip().split(" ")[0].upper()
                if word == "EHLO":
                    connection.sendall(b"250-localhost\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")
                elif word == "STARTTLS":
                    connection.sendall(b"220 ready\r\n")
                    connection = context.wrap_socket(connection, server_side=True)
                    box.secured_count += 1
                    reader = connection.makefile("rb")
                elif word == "AUTH":
                    box.logins.append(line.decode("latin-1").strip())
                    connection.sendall(b"235 welcome\r\n")
                elif word == "DATA":
                    connection.sendall(b"354 go on\r\n")
                    data = b""
                    while not data.endswith(b"\r\n.\r\n"):
                        data += reader.readline()
                    parsed = message_from_bytes(data[:-3], policy=policy.default)
                    assert isinstance(parsed, EmailMessage)
                    box.messages.append(parsed)
                    connection.sendall(b"250 kept\r\n")
                elif word == "QUIT":
                    connection.sendall(b"221 bye\r\n")
                    return
                else:
                    connection.sendall(b"250 ok\r\n")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        box = Mailbox(server.server_address[1])
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield box
        server.shutdown()
