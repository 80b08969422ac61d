"""HTTP under the guard: each request goes to an address that was judged, and names its host as before."""

from __future__ import annotations

from typing import Final
from urllib.request import getproxies, proxy_bypass

import httpx

from referee.core.errors import RefereeError
from referee.core.web_addresses import read_web_address
from referee.foundation.outgoing.guard import OutgoingGuard, PinnedAddress

__all__ = ["GuardedTransport", "GuardedTransportSync", "RefusedAddressError", "find_proxy"]

_MAX_HOSTS: Final = 64
"""Different hosts that one client keeps connections to; beyond, it has to be a new client."""


class RefusedAddressError(httpx.RequestError):
    """The guard refused, before anything was connected. ``reason`` says why."""

    def __init__(self, reason: RefereeError) -> None:
        super().__init__(reason.message)
        self.reason = reason


class GuardedTransport(httpx.AsyncBaseTransport):
    """Sends requests only where the guard lets them. Give it to ``httpx.AsyncClient(transport=…)``.

    With it, a client follows no proxy of the environment. Connections are kept for each host by itself, so one
    that was opened for a name is never used for another that has the same address.

    Raises:
        RefusedAddressError: On sending, when the guard refuses.
    """

    def __init__(self, guard: OutgoingGuard) -> None:
        self._guard = guard
        self._transports: dict[tuple[str, str], httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Judge, connect and send."""
        try:
            pinned = await self._guard.pin(*_find_place(request.url))
        except RefereeError as error:
            raise RefusedAddressError(error) from error
        key = (request.url.scheme, pinned.host)
        transport = self._transports.get(key)
        if transport is None:
            if len(self._transports) >= _MAX_HOSTS:
                raise httpx.PoolTimeout("too many hosts for one client", request=request)
            # Reading the certificates takes 40 ms, which only https has a use for.
            transport = httpx.AsyncHTTPTransport(verify=key[0] == "https")
            self._transports[key] = transport
        *first, last = pinned.addresses
        for text in first:
            try:
                return await transport.handle_async_request(_aim(request, pinned, text))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await transport.handle_async_request(_aim(request, pinned, last))

    async def aclose(self) -> None:
        """Close its connections."""
        for transport in self._transports.values():
            await transport.aclose()


class GuardedTransportSync(httpx.BaseTransport):
    """The same for ``httpx.Client``: for commands and threads."""

    def __init__(self, guard: OutgoingGuard) -> None:
        self._guard = guard
        self._transports: dict[tuple[str, str], httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Judge, connect and send."""
        try:
            pinned = self._guard.pin_sync(*_find_place(request.url))
        except RefereeError as error:
            raise RefusedAddressError(error) from error
        key = (request.url.scheme, pinned.host)
        transport = self._transports.get(key)
        if transport is None:
            transport = self._transports[key] = httpx.HTTPTransport(verify=key[0] == "https")
        *first, last = pinned.addresses
        for text in first:
            try:
                return transport.handle_request(_aim(request, pinned, text))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return transport.handle_request(_aim(request, pinned, last))

    def close(self) -> None:
        """Close its connections."""
        for transport in self._transports.values():
            transport.close()


def find_proxy(url: str) -> str | None:
    """Return the proxy of the environment for a URL, by which companies reach the internet; None for none."""
    address = read_web_address(url)
    if proxy_bypass(address.host):
        return None
    found = getproxies()
    return found.get(address.scheme) or found.get("all") or None


def _find_place(url: httpx.URL) -> tuple[str, int]:
    """Return host and port as the library that connects reads them: nobody else's reading counts here."""
    if url.scheme not in ("http", "https"):
        raise httpx.UnsupportedProtocol("only http and https are spoken")
    return url.host, url.port or (443 if url.scheme == "https" else 80)


def _aim(request: httpx.Request, pinned: PinnedAddress, address: str) -> httpx.Request:
    """Return the request as it is sent: to an address, with the host's own name in its header and in TLS."""
    aimed = httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": pinned.host},
    )
    aimed.headers["Host"] = request.headers.get("Host", request.url.netloc.decode("ascii"))
    return aimed
