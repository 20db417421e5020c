"""Reads the operator's data files: the bundled catalogue with overlays on top, and the policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from costsvc.core.catalog import Catalog, CatalogError, load_catalog
from costsvc.core.policy import Policy, read_policy
from costsvc.data import read_text

CATALOG = "catalog.toml"
POLICY = "policy.toml"


def load_catalog_files(overlays: Sequence[Path] = ()) -> Catalog:
    """Return the bundled catalogue with the overlay files on top, in their order.

    Raises:
        CatalogError: naming file, table and field.
    """
    return load_catalog(
        read_text(CATALOG), [(str(path), read_file(path)) for path in overlays], base_name=CATALOG
    )


def load_policy_file(path: Path | None, catalog: Catalog) -> Policy:
    """Return the policy of a file, or the bundled one, checked against a catalogue.

    Raises:
        CatalogError: naming file, table and field.
    """
    if path is None:
        return read_policy(read_text(POLICY), catalog, name=POLICY)
    return read_policy(read_file(path), catalog, name=str(path))


def read_file(path: Path) -> str:
    """Return the text of an operator's file.

    Raises:
        CatalogError: naming the file.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogError(str(path), "", "", f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CatalogError(
            str(path), "", "", f"is not UTF-8: {error.reason} at byte {error.start}"
        ) from error
