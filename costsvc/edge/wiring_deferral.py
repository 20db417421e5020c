"""Puts deferring together."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from costsvc.app.alerts import Post
from costsvc.app.batcher import LEASE, Batcher
from costsvc.app.batches import Batches
from costsvc.app.cached import Cached
from costsvc.app.complete import Completions
from costsvc.app.deferral import Deferral
from costsvc.app.deferred_batches import DeferredBatches, DeferredResults
from costsvc.app.deferred_view import View
from costsvc.app.deferred_webhooks import DeferredWebhooks
from costsvc.app.deferred_words import Words
from costsvc.app.definitions import InForce
from costsvc.app.ending_deferred import EndingDeferred
from costsvc.app.ids import new_id
from costsvc.app.in_flight import InFlight
from costsvc.app.planner import Planner
from costsvc.app.room import Room
from costsvc.app.sending_alone import SendingAlone
from costsvc.app.submitting import Submitting
from costsvc.edge.calls import Calls
from costsvc.edge.deferred_proto import words
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.settings import Settings
from costsvc.store import deferred_keys
from costsvc.store.budgets import BudgetBook
from costsvc.store.deferred import DeferredBook
from costsvc.store.deferred_queue import DeferredQueue
from costsvc.store.deferred_webhooks import WebhookQueue
from costsvc.store.job_lease import JobLease


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferralParts:
    """The use cases of deferring, and what works beside them."""

    deferral: Deferral
    batcher: Batcher
    webhooks: DeferredWebhooks


def wire_deferral(  # noqa: PLR0917 - parts of one process
    settings: Settings,
    client: Redis,
    calls: Calls,
    completions: Completions,
    cached: Cached,
    planner: Planner,
    in_force: InForce,
    batches: Batches,
    post: Post,
    in_flight: InFlight,
) -> DeferralParts:
    """Return the parts of deferring; results of its batches come to it from then on."""
    metrics, clock = calls.metrics, calls.clock
    book, queue, written = DeferredBook(client), DeferredQueue(client), words(clock)
    ending = EndingDeferred(book, written.write_error, planner.policy_in_force, metrics, clock)
    results = DeferredResults(queue, ending, written, clock)
    batches.reviews.append(results.review)
    batches.listeners.append(results.listen)
    sending = SendingAlone(
        queue=queue,
        book=book,
        completions=completions,
        ending=ending,
        words=written,
        in_flight=in_flight,
        policy_in_force=planner.policy_in_force,
        clock=clock,
        max_call_s=settings.max_call_s,
    )
    deferral = Deferral(
        book=book,
        completions=completions,
        cached=cached,
        planner=planner,
        room=Room(BudgetBook(client), in_force, planner),
        words=written,
        ending=ending,
        metrics=metrics,
        clock=clock,
        max_call_s=settings.max_call_s,
    )
    return DeferralParts(
        deferral=deferral,
        batcher=_batcher(client, queue, book, batches, sending, ending, written, in_flight, planner, clock),
        webhooks=_webhooks(settings, client, queue, post, metrics, clock),
    )


def _batcher(  # noqa: PLR0917 - parts of one process
    client: Redis,
    queue: DeferredQueue,
    book: DeferredBook,
    batches: Batches,
    sending: SendingAlone,
    ending: EndingDeferred,
    written: Words,
    in_flight: InFlight,
    planner: Planner,
    clock: Clock,
) -> Batcher:
    view = View(queue)
    submitting = Submitting(
        view=view,
        queue=queue,
        book=book,
        batching=DeferredBatches(batches),
        ending=ending,
        words=written,
        in_flight=in_flight,
        clock=clock,
    )
    return Batcher(
        view=view,
        lease=JobLease(client, new_id(), deferred_keys.LEADER, lasts=LEASE),
        submitting=submitting,
        sending=sending,
        policy_in_force=planner.policy_in_force,
        clock=clock,
    )


def _webhooks(  # noqa: PLR0917 - parts of one process
    settings: Settings, client: Redis, queue: DeferredQueue, post: Post, metrics: Metrics, clock: Clock
) -> DeferredWebhooks:
    secret = settings.alerts.webhook_secret
    return DeferredWebhooks(
        webhooks=WebhookQueue(client),
        queue=queue,
        post=post,
        secret=(secret.get_secret_value() if secret else "").strip().encode(),
        metrics=metrics,
        clock=clock,
    )
