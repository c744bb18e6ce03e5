"""The real HTTP client: one warm keep-alive session per process, behind transport.HttpClient.

Owns sockets, the overall timeout and the size limit of an answer.  No retries, no redirects, no
proxies and no environment: an answer is complete or VenueUnavailable is raised, which says nothing
about what the venue did.  Messages carry method and path only (never headers, query or body).
Called by the daemon, which hands it to gateway and market.
"""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp

from polybot.config import GatewayConfig
from polybot.errors import VenueUnavailable
from polybot.transport import HttpResponse

__all__ = ["AiohttpClient"]

# No honest answer is larger; an endless one must not fill the memory.
MAX_BODY_BYTES = 32 * 1024 * 1024
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


class AiohttpClient:
    """transport.HttpClient over aiohttp; open() inside a running loop, close() when done."""

    def __init__(self, settings: GatewayConfig) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the session; called by the first request when forgotten."""
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,
                limit_per_host=self._settings.connections,
                keepalive_timeout=self._settings.keepalive_s,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=_NO_TIMEOUT,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = 5.0,
    ) -> HttpResponse:
        """Send one request; timeout_s in wall seconds covers waiting for a connection to the last byte."""
        await self.open()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(method, url, headers, body)
        except TimeoutError:
            what = f"no complete answer in {timeout_s} s"
            raise VenueUnavailable(f"{method} {urlsplit(url).path}: {what}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            name = type(error).__name__
            raise VenueUnavailable(f"{method} {urlsplit(url).path}: {name}") from None

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str] | None, body: bytes | None
    ) -> HttpResponse:
        assert self._session is not None
        async with self._session.request(
            method, url, headers=headers, data=body, allow_redirects=False
        ) as response:
            content = await _read_all(response)
            lowered = {name.lower(): value for name, value in response.headers.items()}
            return HttpResponse(response.status, lowered, content)


async def _read_all(response: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(65_536):
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            response.close()
            raise ValueError("answer too large")
        chunks.append(chunk)
    return b"".join(chunks)
