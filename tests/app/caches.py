"""Parts for tests of other things, put together as the service does."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from costsvc.app.asked import Asking
from costsvc.app.cached import Cached
from costsvc.app.conversations import Conversations
from costsvc.app.explaining import Explaining
from costsvc.app.first_writes import FirstWrites
from costsvc.app.hits import Hits
from costsvc.app.holding import Holding
from costsvc.app.in_flight import InFlight
from costsvc.app.leading import Leading
from costsvc.app.looking import Looking
from costsvc.app.near import NearIdentical
from costsvc.app.planner import Planner
from costsvc.app.policies import PolicyInForce
from costsvc.app.prompt_caching import PromptCaching
from costsvc.app.settle import Settlement
from costsvc.edge.wiring_beside import wire_beside
from costsvc.edge.wiring_router import wire_router
from costsvc.metrics import Metrics
from costsvc.ports import Clock, Upstream
from costsvc.store.conversations import ConversationBook
from costsvc.store.epochs import Epochs
from costsvc.store.fits import FitBook
from costsvc.store.ledger import Ledger
from costsvc.store.near_answers import NearAnswers
from costsvc.store.outcomes import OutcomeBook
from costsvc.store.pairs import PairBook
from costsvc.store.prefixes import PrefixBook
from costsvc.store.prompt_sums import PromptSums
from costsvc.store.responses import Responses
from costsvc.store.verdicts import VerdictBook


def cache(store: Redis, planner: Planner, in_flight: InFlight, metrics: Metrics, clock: Clock) -> Cached:
    """Return the cache of a policy, on a store, with its way to look."""
    epochs, in_force = Epochs(store), PolicyInForce(planner.policy)
    responses, near = Responses(store), NearIdentical(NearAnswers(store), epochs, in_flight, metrics)
    leading = Leading(responses, in_flight, clock)
    looking = Looking(
        asking=Asking(in_force, epochs, b"secret"),
        responses=responses,
        near=near,
        leading=leading,
        conversations=Conversations(ConversationBook(store), planner),
        prompt_caching=prompt_caching(store, planner, metrics),
        in_flight=in_flight,
    )
    return Cached(
        looking=looking,
        leading=leading,
        responses=responses,
        near=near,
        hits=Hits(Ledger(store), in_force, metrics),
        in_flight=in_flight,
        planner=planner,
        metrics=metrics,
        clock=clock,
    )


def prompt_caching(store: Redis, planner: Planner, metrics: Metrics) -> PromptCaching:
    """Return what places breakpoints."""
    explaining = Explaining(PromptSums(store, 35), planner.catalog, metrics)
    return PromptCaching(PrefixBook(store), explaining, planner, metrics)


def prompt_caching_parts(
    store: Redis, planner: Planner, metrics: Metrics, clock: Clock
) -> dict[str, PromptCaching | FirstWrites]:
    """Return what an attempt needs of it."""
    placing = prompt_caching(store, planner, metrics)
    return {
        "prompt_caching": placing,
        "first_writes": FirstWrites(placing, planner, metrics, clock),
    }


def beside(
    store: Redis,
    planner: Planner,
    upstream: Upstream,
    settlement: Settlement,
    holding: Holding,
    in_flight: InFlight,
    metrics: Metrics,
) -> dict[str, Any]:
    """Return what makes calls of its own, on a store."""
    books = OutcomeBook(store), FitBook(store), PairBook(store)
    router = wire_router(*books, PolicyInForce(planner.policy), metrics)
    parts = wire_beside(
        planner, upstream, settlement, holding, in_flight, router, VerdictBook(store), b"secret", metrics
    )
    return {"classifier": parts.classifier, "shadows": parts.shadows}
