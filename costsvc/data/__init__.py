"""Files that ship with costsvc: prices and capabilities, and the default policy."""

from __future__ import annotations

from importlib.resources import files


def read_text(name: str) -> str:
    """Return a bundled file, such as `catalog.toml`."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
