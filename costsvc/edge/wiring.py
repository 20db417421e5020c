"""Puts the use cases together: which part gets which."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from redis.asyncio import Redis

from costsvc.app.admin import Administration
from costsvc.app.adviser import Adviser
from costsvc.app.alerts import Alerting, Post, Webhook
from costsvc.app.batches import Batches
from costsvc.app.booking import Booking
from costsvc.app.complete import Completions
from costsvc.app.conversations import Conversations
from costsvc.app.definitions import InForce
from costsvc.app.estimate import Estimator
from costsvc.app.explaining import Explaining
from costsvc.app.foretelling import Foretelling
from costsvc.app.holding import Holding
from costsvc.app.ids import new_id
from costsvc.app.in_flight import InFlight
from costsvc.app.observations import Observations
from costsvc.app.once import Once
from costsvc.app.planner import Planner
from costsvc.app.policies import PolicyInForce, PolicyWatch
from costsvc.app.prompt_caching import PromptCaching
from costsvc.app.prompt_report import PromptReporter
from costsvc.app.record import Recorder
from costsvc.app.report import Reporter
from costsvc.app.reserve import Reserving
from costsvc.app.retention import Retention
from costsvc.app.settle import Settlement
from costsvc.app.telling import Teller
from costsvc.app.watch import StoreWatch
from costsvc.config import read_file
from costsvc.core.catalog import Catalog
from costsvc.core.policy import read_policy
from costsvc.edge.admin_servicer import AdminServicer
from costsvc.edge.calls import Calls
from costsvc.edge.health import Health
from costsvc.edge.servicer import CostServicer
from costsvc.edge.wiring_batches import wire_batches
from costsvc.edge.wiring_beside import BesideParts, wire_beside
from costsvc.edge.wiring_cache import CacheParts, CacheStore, wire_cache
from costsvc.edge.wiring_complete import wire_completions, wire_once
from costsvc.edge.wiring_deferral import DeferralParts, wire_deferral
from costsvc.edge.wiring_router import RouterParts, wire_router
from costsvc.metrics import Metrics
from costsvc.ports import BatchUpstream, SystemClock, Upstream
from costsvc.settings import Settings
from costsvc.settings_groups import Alerts
from costsvc.store import keys
from costsvc.store.alerts import AlertQueue
from costsvc.store.archive import Archive
from costsvc.store.budgets import BudgetBook
from costsvc.store.claims import Claims
from costsvc.store.conversations import ConversationBook
from costsvc.store.erasure import Erasure
from costsvc.store.fits import FitBook
from costsvc.store.holds import Holds
from costsvc.store.job_lease import JobLease
from costsvc.store.journal import Journal
from costsvc.store.ledger import Ledger
from costsvc.store.outcomes import OutcomeBook
from costsvc.store.pairs import PairBook
from costsvc.store.prefixes import PrefixBook
from costsvc.store.presence import Presence
from costsvc.store.prompt_sums import PromptSums
from costsvc.store.reservations import Reservations
from costsvc.store.risks import Risks
from costsvc.store.sealing import Sealing
from costsvc.store.verdicts import VerdictBook


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What runs: the servicer with its use cases, and what works beside them."""

    calls: Calls
    servicer: CostServicer
    admin: AdminServicer
    batches: Batches
    deferral: DeferralParts
    in_flight: InFlight
    settlement: Settlement
    holding: Holding
    watch: StoreWatch
    alerting: Alerting
    once: Once
    retention: Retention
    policy_watch: PolicyWatch
    cache: CacheParts
    router: RouterParts
    health: Health


def wire(
    settings: Settings,
    *,
    catalog: Catalog,
    policy_in_force: PolicyInForce,
    client: Redis,
    presence: Presence,
    cache: CacheStore,
    journal: Journal,
    upstream: Upstream,
    batch_api: BatchUpstream,
    post: Post,
    calls: Calls,
) -> Parts:
    """Return the parts of a service, on its store, its journal, its provider, and its way to post alerts."""
    clock, ledger, in_flight, metrics = SystemClock(), Ledger(client), InFlight(), calls.metrics
    router = _router(client, policy_in_force, metrics)
    planner = Planner(catalog, policy_in_force, Observations(), router.scores)
    in_force, holds = InForce(BudgetBook(client)), Holds(client, owner=new_id())
    booking = Booking(ledger, in_force, policy_in_force)
    settlement = Settlement(Teller(booking, holds), journal, metrics, clock, presence=presence)
    holding = _holding(client, in_force, holds, presence, settlement, planner, metrics)
    asking = _asking(settings, client, planner, metrics)
    answers = wire_cache(cache, planner, policy_in_force, ledger, in_flight, *asking, metrics)
    claims, looking = Claims(client, holds.lease), answers.looking
    once = wire_once(settings, planner, policy_in_force, claims, looking, settlement, in_flight, metrics)
    beside = wire_beside(
        planner, upstream, settlement, holding, in_flight, router, VerdictBook(client), cache.secret, metrics
    )
    completions = wire_completions(
        settings,
        planner,
        upstream,
        settlement,
        once,
        looking,
        *asking,
        answers.cached,
        beside,
        holding,
        router.learner,
        metrics,
    )
    plans = completions, asking[1], planner
    batches = wire_batches(settings, client, batch_api, calls, *plans, in_force, holds, booking, in_flight)
    waiting = settings, client, calls, completions, answers.cached, planner, in_force, batches, post
    return Parts(
        calls=calls,
        servicer=_servicer(calls, planner, asking, beside, completions, booking, client, holding, holds),
        admin=_admin(calls, answers, router, catalog, policy_in_force, holds, booking, client, cache.client),
        batches=batches,
        deferral=wire_deferral(*waiting, in_flight),
        cache=answers,
        policy_watch=_policy_watch(settings, catalog, policy_in_force, metrics),
        in_flight=in_flight,
        settlement=settlement,
        holding=holding,
        watch=StoreWatch(presence, ledger, (holding, settlement), metrics),
        alerting=_alerting(settings.alerts, client, post, metrics),
        once=once,
        retention=_retention(settings, client),
        router=router,
        health=Health(presence, journal),
    )


def _router(client: Redis, policy_in_force: PolicyInForce, metrics: Metrics) -> RouterParts:
    books = OutcomeBook(client), FitBook(client), PairBook(client)
    return wire_router(*books, policy_in_force, metrics)


def _prompt_caching(settings: Settings, client: Redis, planner: Planner, metrics: Metrics) -> PromptCaching:
    sums = PromptSums(client, settings.retention_days)
    return PromptCaching(PrefixBook(client), Explaining(sums, planner.catalog, metrics), planner, metrics)


def _servicer(  # noqa: PLR0917 - parts of one process
    calls: Calls,
    planner: Planner,
    asking: tuple[Conversations, PromptCaching],
    beside: BesideParts,
    completions: Completions,
    booking: Booking,
    client: Redis,
    holding: Holding,
    holds: Holds,
) -> CostServicer:
    reserving = _reserving(client, planner, holding, holds)
    return CostServicer(
        calls=calls,
        planner=planner,
        foretelling=Foretelling(asking[0], beside.classifier, asking[1]),
        completions=completions,
        estimator=Estimator(planner),
        adviser=Adviser(planner, Ledger(client).rollups),
        reserving=reserving,
        recorder=Recorder(planner, asking[0], booking, reserving, metrics=calls.metrics, clock=calls.clock),
        reporter=Reporter(Ledger(client).rollups, holds, planner.policy_in_force),
        clock=calls.clock,
    )


def _holding(  # noqa: PLR0917 - parts of one process
    client: Redis,
    in_force: InForce,
    holds: Holds,
    presence: Presence,
    settlement: Settlement,
    planner: Planner,
    metrics: Metrics,
) -> Holding:
    return Holding(
        book=BudgetBook(client),
        in_force=in_force,
        holds=holds,
        ledger=Ledger(client),
        presence=presence,
        settlement=settlement,
        planner=planner,
        metrics=metrics,
        clock=SystemClock(),
    )


def _asking(
    settings: Settings, client: Redis, planner: Planner, metrics: Metrics
) -> tuple[Conversations, PromptCaching]:
    """Return what a call asks of the store before it is decided."""
    conversations = Conversations(ConversationBook(client), planner)
    return conversations, _prompt_caching(settings, client, planner, metrics)


def _policy_watch(
    settings: Settings, catalog: Catalog, policy_in_force: PolicyInForce, metrics: Metrics
) -> PolicyWatch:
    path = settings.policy or Path()
    parse = partial(read_policy, catalog=catalog, name=str(path))
    return PolicyWatch(policy_in_force, partial(read_file, path), parse, metrics)


def _admin(  # noqa: PLR0917 - parts of one process
    calls: Calls,
    answers: CacheParts,
    router: RouterParts,
    catalog: Catalog,
    policy_in_force: PolicyInForce,
    holds: Holds,
    booking: Booking,
    client: Redis,
    answers_client: Redis,
) -> AdminServicer:
    administration = Administration(
        catalog=catalog,
        budgets=BudgetBook(client),
        holds=holds,
        risks=Risks(client),
        erasure=Erasure(client, answers_client),
        booking=booking,
        policy_in_force=policy_in_force,
        metrics=calls.metrics,
        clock=calls.clock,
    )
    prompts = PromptReporter(PromptSums(client), catalog, calls.clock)
    return AdminServicer(calls, administration, answers.administration, router.outcomes, prompts)


def _retention(settings: Settings, client: Redis) -> Retention:
    sealing = Sealing(
        client, Archive(settings.data_dir / "archive"), JobLease(client, new_id(), keys.SEALING)
    )
    return Retention(sealing, SystemClock(), days=settings.retention_days)


def _alerting(alerts: Alerts, client: Redis, post: Post, metrics: Metrics) -> Alerting:
    secret = alerts.webhook_secret.get_secret_value() if alerts.webhook_secret else ""
    return Alerting(
        queue=AlertQueue(client),
        book=BudgetBook(client),
        webhook=Webhook(url=alerts.webhook_url or "", secret=secret.strip().encode()),
        post=post,
        metrics=metrics,
        clock=SystemClock(),
    )


def _reserving(client: Redis, planner: Planner, holding: Holding, holds: Holds) -> Reserving:
    return Reserving(
        planner=planner,
        holding=holding,
        holds=holds,
        reservations=Reservations(client),
        clock=SystemClock(),
        new_id=new_id,
    )
