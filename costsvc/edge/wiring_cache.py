"""Puts the response cache together."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from costsvc.app.asked import Asking
from costsvc.app.cache_admin import CacheAdministration
from costsvc.app.cached import Cached
from costsvc.app.conversations import Conversations
from costsvc.app.hits import Hits
from costsvc.app.in_flight import InFlight
from costsvc.app.leading import Leading
from costsvc.app.looking import Looking
from costsvc.app.near import NearIdentical
from costsvc.app.planner import Planner
from costsvc.app.policies import PolicyInForce
from costsvc.app.prompt_caching import PromptCaching
from costsvc.metrics import Metrics
from costsvc.ports import SystemClock
from costsvc.store.epochs import Epochs
from costsvc.store.ledger import Ledger
from costsvc.store.near_answers import NearAnswers
from costsvc.store.presence import Presence
from costsvc.store.responses import Responses


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStore:
    """Where stored answers are. `presence` is given where nobody else looks for that server."""

    client: Redis
    presence: Presence | None
    secret: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheParts:
    """The use cases around stored answers, and what works beside them."""

    looking: Looking
    cached: Cached
    administration: CacheAdministration
    hits: Hits
    epochs: Epochs


def wire_cache(  # noqa: PLR0917 - parts of one process
    store: CacheStore,
    planner: Planner,
    policy_in_force: PolicyInForce,
    ledger: Ledger,
    in_flight: InFlight,
    conversations: Conversations,
    prompt_caching: PromptCaching,
    metrics: Metrics,
) -> CacheParts:
    """Return the parts of the response cache, on its server."""
    responses, epochs = Responses(store.client), Epochs(store.client, store.presence)
    near = NearIdentical(NearAnswers(store.client), epochs, in_flight, metrics)
    hits = Hits(ledger, policy_in_force, metrics)
    leading = Leading(responses, in_flight, SystemClock())
    looking = Looking(
        asking=Asking(policy_in_force, epochs, store.secret),
        responses=responses,
        near=near,
        leading=leading,
        conversations=conversations,
        prompt_caching=prompt_caching,
        in_flight=in_flight,
    )
    return CacheParts(
        looking=looking,
        cached=Cached(
            looking=looking,
            leading=leading,
            responses=responses,
            near=near,
            hits=hits,
            in_flight=in_flight,
            planner=planner,
            metrics=metrics,
            clock=SystemClock(),
        ),
        administration=CacheAdministration(
            epochs=epochs,
            responses=responses,
            near=near,
            ledger=ledger,
            policy_in_force=policy_in_force,
            metrics=metrics,
        ),
        hits=hits,
        epochs=epochs,
    )
