"""Where the store of a service is, for who comes beside the service."""

from __future__ import annotations

import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from costsvc.store.connection import StoreRefused
from costsvc.store.embedded import EmbeddedValkey


@asynccontextmanager
async def store_of(data_dir: Path, url: str | None) -> AsyncIterator[str]:
    """Give the URL of a service's store; where it is its own and the service does not run, start it.

    Raises:
        StoreRefused: there is none, or it does not start.
    """
    if url is not None:
        yield url
        return
    try:
        running = _running(data_dir)
    except OSError as error:
        raise StoreRefused(
            f"there is no store in {data_dir}: name the service's data directory, or the URL of its store"
        ) from error
    if running is not None:
        yield running
        return
    async with EmbeddedValkey(data_dir) as embedded:
        yield embedded.url


def _running(data_dir: Path) -> str | None:
    """Return the URL of the server that has the lock on a data directory's store, None where none has."""
    with (data_dir / "store" / "server.lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return f"unix://{lock.read().strip()}"
    return None
