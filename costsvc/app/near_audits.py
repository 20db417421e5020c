"""How wrong near-identical answers of each namespace may be, as far as this process has heard."""

from __future__ import annotations

from functools import partial

from costsvc.core.mistakes import mistake_bound
from costsvc.core.response_key import Scope
from costsvc.metrics import Metrics
from costsvc.store.near_answers import Audit


class NearAudits:
    """The newest counts of each tenant's namespace; they are of all replicas, because the store has them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._newest: dict[str, dict[str, tuple[int, Audit]]] = {}

    def note(self, scope: Scope, audit: Audit) -> None:
        """Take in what the store counts; what is of an earlier epoch, or older, says nothing any more."""
        if not audit.served_count:
            return
        if scope.namespace not in self._newest:
            self._newest[scope.namespace] = {}
            self._metrics.near_bound(scope.namespace, partial(self.bound, scope.namespace))
        of_tenants = self._newest[scope.namespace]
        epoch, known = of_tenants.get(scope.tenant, (-1, audit))
        if (epoch, known.served_count, known.mistake_count) <= (
            scope.epoch,
            audit.served_count,
            audit.mistake_count,
        ):
            of_tenants[scope.tenant] = scope.epoch, audit

    def bound(self, namespace: str) -> float:
        """Return the share of mistakes in a namespace that is not exceeded, with 95 % confidence."""
        audits = [audit for _, audit in self._newest[namespace].values()]
        return mistake_bound(
            sum(audit.mistake_count for audit in audits), sum(audit.served_count for audit in audits)
        )
