"""Connections to servers, shared by all clients of one event loop so that they are used again."""

from __future__ import annotations

import asyncio
import ssl
from weakref import WeakKeyDictionary

import httpx

# Servers close idle connections after 5 s; one that is about to close is not used for a request.
_keep_alive = 4.0


class Pool:
    """Connections of one event loop. Closed when the last of its users is."""

    def __init__(self, *, encrypted: bool) -> None:
        """Loads the certificates of authorities only where they are needed: that takes longer than a request."""
        self.users = 0
        self.http = httpx.AsyncClient(
            verify=True if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            timeout=None,  # noqa: S113 - a deadline is put around each call
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=_keep_alive),
            headers={"User-Agent": "opencomputer-python", "Accept-Encoding": "identity"},
        )


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bool, Pool]] = WeakKeyDictionary()


class PoolUser:
    """One user of the pools; in each event loop it is used in, it uses the pool of that."""

    def __init__(self, *, encrypted: bool) -> None:
        """Takes nothing before it is used."""
        self._encrypted = encrypted
        self._used: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = WeakKeyDictionary()

    def http(self) -> httpx.AsyncClient:
        """The client to send with."""
        loop = asyncio.get_running_loop()
        pool = self._used.get(loop)
        if pool is None:
            pools = _pools.setdefault(loop, {})
            pool = pools.get(self._encrypted)
            if pool is None:
                pool = pools[self._encrypted] = Pool(encrypted=self._encrypted)
            pool.users += 1
            self._used[loop] = pool
        return pool.http

    async def close(self) -> None:
        """Releases the connections of this event loop. Using it again afterwards is fine."""
        loop = asyncio.get_running_loop()
        pool = self._used.pop(loop, None)
        if pool is None:
            return
        pool.users -= 1
        if pool.users == 0:
            _pools.get(loop, {}).pop(self._encrypted, None)
            await pool.http.aclose()


async def close_pools() -> None:
    """Closes all connections of this event loop, even those in use."""
    for pool in _pools.pop(asyncio.get_running_loop(), {}).values():
        await pool.http.aclose()
