"""The keys of batches: a part of `keys.py`, by its rules.

They are money's: what a batch holds, and what is known of its items, must not be evicted. Whoever looks after
batches removes them after 30 days.
"""

from __future__ import annotations

from costsvc.store.keys import LEDGER

BATCHES = f"{LEDGER}:batches"
"""A sorted set: every batch that is remembered, `<tenant>:<batch id>` by its creation, ms since 1970."""
OPEN = f"{BATCHES}:open"
"""A set: every batch that has not ended, as in `BATCHES`."""
AT_PROVIDER = f"{BATCHES}:at_provider"
"""A sorted set: the provider's ids of batches that are ours, by when they were created, ms since 1970."""
POLLING = f"{BATCHES}:polling"
"""The lease of whoever looks after batches at the provider."""
CREATING = f"{BATCHES}:creating"
"""The lease of whoever creates a batch at the provider: two at once could not be told apart after a crash."""
SPOOLS = f"{BATCHES}:spools"
"""A sorted set: the disks that have items of batches, by when their process was last seen, ms since 1970."""


def of_tenant(tenant: str) -> str:
    """Return the sorted set of a tenant's batches; their ids sort by time."""
    return f"{BATCHES}:of:{tenant}"


def requests(tenant: str) -> str:
    """Return the hash of the callers' own ids: request id -> batch id."""
    return f"{BATCHES}:requests:{tenant}"


def batch(tenant: str, batch_id: str) -> str:
    """Return the hash of a batch: what it is, its parts, and what their results add up to."""
    return f"{LEDGER}:batch:{tenant}:{batch_id}"


def items(tenant: str, batch_id: str) -> str:
    """Return the hash of what is kept of a batch's items, many to a field."""
    return f"{batch(tenant, batch_id)}:items"


def marks(tenant: str, batch_id: str, part_id: str) -> str:
    """Return the bitmap of a part's items whose results are booked."""
    return f"{batch(tenant, batch_id)}:marks:{part_id}"
