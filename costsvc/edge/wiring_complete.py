"""Puts together what answers calls."""

from __future__ import annotations

from datetime import timedelta

from costsvc.app.cached import Cached
from costsvc.app.claiming import Claiming
from costsvc.app.complete import Completions
from costsvc.app.conversations import Conversations
from costsvc.app.first_writes import FirstWrites
from costsvc.app.holding import Holding
from costsvc.app.ids import new_id
from costsvc.app.in_flight import InFlight
from costsvc.app.learner import Learner
from costsvc.app.looking import Looking
from costsvc.app.making import Making
from costsvc.app.once import Once
from costsvc.app.planner import Planner
from costsvc.app.policies import PolicyInForce
from costsvc.app.prompt_caching import PromptCaching
from costsvc.app.settle import Settlement
from costsvc.edge.wiring_beside import BesideParts
from costsvc.metrics import Metrics
from costsvc.ports import SystemClock, Upstream
from costsvc.settings import Settings
from costsvc.store.claims import Claims


def wire_once(  # noqa: PLR0917 - parts of one process
    settings: Settings,
    planner: Planner,
    policy_in_force: PolicyInForce,
    claims: Claims,
    looking: Looking,
    settlement: Settlement,
    in_flight: InFlight,
    metrics: Metrics,
) -> Once:
    """Return what answers each request id once."""
    return Once(
        claiming=Claiming(claims, policy_in_force, SystemClock()),
        looking=looking,
        settlement=settlement,
        in_flight=in_flight,
        catalog=planner.catalog,
        policy_in_force=policy_in_force,
        answer_ttl=timedelta(seconds=settings.answer_ttl_s),
        metrics=metrics,
    )


def wire_completions(  # noqa: PLR0917 - parts of one process
    settings: Settings,
    planner: Planner,
    upstream: Upstream,
    settlement: Settlement,
    once: Once,
    looking: Looking,
    conversations: Conversations,
    prompt_caching: PromptCaching,
    cached: Cached,
    beside: BesideParts,
    holding: Holding,
    learner: Learner,
    metrics: Metrics,
) -> Completions:
    """Return the use case behind Complete and StreamComplete."""
    clock = SystemClock()
    making = Making(
        planner=planner,
        upstream=upstream,
        settlement=settlement,
        once=once,
        conversations=conversations,
        prompt_caching=prompt_caching,
        first_writes=FirstWrites(prompt_caching, planner, metrics, clock),
        holding=holding,
        metrics=metrics,
        clock=clock,
        new_id=new_id,
    )
    return Completions(
        planner=planner,
        looking=looking,
        settlement=settlement,
        once=once,
        conversations=conversations,
        cached=cached,
        classifier=beside.classifier,
        shadows=beside.shadows,
        making=making,
        learner=learner,
        metrics=metrics,
        clock=clock,
        new_id=new_id,
        max_call_s=settings.max_call_s,
    )
