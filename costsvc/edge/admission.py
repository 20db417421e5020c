"""How much one process takes on at a time, so that a flood is refused before it costs anything."""

from __future__ import annotations

from collections import Counter

from costsvc.core.errors import Overloaded
from costsvc.settings_groups import Admission as Limits


class Admission:
    """Counts calls and bytes in flight, for the process and for each tenant."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._calls = 0
        self._bytes = 0
        self._tenant_calls: Counter[str] = Counter()
        self._tenant_bytes: Counter[str] = Counter()

    def enter(self, tenant: str, byte_count: int) -> None:
        """Take a call in.

        Raises:
            Overloaded: naming the limit; nothing was counted.
        """
        limits = self._limits
        if self._calls >= limits.max_calls:
            raise Overloaded("calls")
        if self._tenant_calls[tenant] >= limits.max_calls_per_tenant:
            raise Overloaded("calls of this tenant")
        if self._bytes + byte_count > limits.max_bytes:
            raise Overloaded("bytes")
        if self._tenant_bytes[tenant] + byte_count > limits.max_bytes_per_tenant:
            raise Overloaded("bytes of this tenant")
        self._calls += 1
        self._bytes += byte_count
        self._tenant_calls[tenant] += 1
        self._tenant_bytes[tenant] += byte_count

    def leave(self, tenant: str, byte_count: int) -> None:
        """Let a call out; a tenant without calls is forgotten."""
        self._calls -= 1
        self._bytes -= byte_count
        self._tenant_calls[tenant] -= 1
        self._tenant_bytes[tenant] -= byte_count
        if not self._tenant_calls[tenant]:
            del self._tenant_calls[tenant], self._tenant_bytes[tenant]
