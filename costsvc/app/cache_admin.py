"""What an operator does with stored answers: invalidate them, and say which were wrong."""

from __future__ import annotations

from datetime import UTC, datetime

from costsvc.app.near import NearIdentical
from costsvc.app.policies import PolicyInForce
from costsvc.core.errors import InvalidRequest, NotAHit, Violation
from costsvc.core.response_key import Scope
from costsvc.metrics import Metrics
from costsvc.store.epochs import EVERYTHING, Epochs, label_scope, scope_of
from costsvc.store.ledger import Ledger
from costsvc.store.near_answers import NearPlace
from costsvc.store.responses import Place, Responses

_TIME_DIGITS = 12  # of an id of ours: the time in milliseconds, in hexadecimal
_MS_PER_S = 1000


class CacheAdministration:
    """The use cases behind InvalidateCache and ReportCacheMistake."""

    def __init__(
        self,
        *,
        epochs: Epochs,
        responses: Responses,
        near: NearIdentical,
        ledger: Ledger,
        policy_in_force: PolicyInForce,
        metrics: Metrics,
    ) -> None:
        self._epochs = epochs
        self._responses = responses
        self._near = near
        self._ledger = ledger
        self._policy_in_force = policy_in_force
        self._metrics = metrics

    async def invalidate(self, *, tenant: str, namespace: str, label: tuple[str, str] | None) -> None:
        """Serve nothing any more that is stored: of everybody, a tenant, its namespace, or its label.

        Raises:
            InvalidRequest: a namespace or a label without its tenant, or both.
            StoreUnavailable: it may have happened or not; repeat it.
        """
        if not tenant and (namespace or label):
            raise InvalidRequest(Violation("tenant", "must be given with a namespace or a label"))
        if namespace and label:
            raise InvalidRequest(Violation("label_key", "cannot be given with a namespace"))
        scope = scope_of(tenant, namespace) if tenant else EVERYTHING
        await self._epochs.invalidate(label_scope(tenant, *label) if label else scope)

    async def report_mistake(self, response_id: str) -> None:
        """Remove the stored answer that a call got, and never take its question for that one again.

        Raises:
            NotAHit: no call that is remembered got a stored answer under this id.
            StoreUnavailable: some may have happened; repeat it.
        """
        entry = await self._ledger.entry_by_attempt(f"{response_id}.0", _day_of(response_id))
        if entry is None or not entry.cache_ref:
            raise NotAHit(response_id)
        namespace, epoch, exact, near, pair = entry.cache_ref.split(":")
        scope = Scope(tenant=entry.tenant, namespace=namespace, epoch=int(epoch))
        if pair:
            place = NearPlace(scope, near)
            await self._near.mistaken(place, pair, self._policy_in_force.policy.namespaces.get(namespace))
            return
        await self._responses.evict(Place(scope, exact))
        if near:
            await self._near.evict(NearPlace(scope, near))
        self._metrics.cache_mistake(namespace)


def _day_of(response_id: str) -> datetime:
    """Return when an id of ours was made."""
    try:
        return datetime.fromtimestamp(int(response_id[:_TIME_DIGITS], 16) / _MS_PER_S, UTC)
    except (ValueError, OverflowError, OSError):
        raise NotAHit(response_id) from None
