"""Puts batches together."""

from __future__ import annotations

from datetime import timedelta

from redis.asyncio import Redis

from costsvc.app.admitting import Admitting
from costsvc.app.batch_holds import BatchHolds
from costsvc.app.batch_poll import BatchPoller
from costsvc.app.batch_settle import BatchSettlement
from costsvc.app.batch_submit import BatchSubmitter
from costsvc.app.batches import Batches
from costsvc.app.booking import Booking
from costsvc.app.complete import Completions
from costsvc.app.definitions import InForce
from costsvc.app.ids import new_id
from costsvc.app.in_flight import InFlight
from costsvc.app.planner import Planner
from costsvc.app.prompt_caching import PromptCaching
from costsvc.app.seeding import Seeding
from costsvc.edge.calls import Calls
from costsvc.ports import BatchUpstream
from costsvc.settings import Settings
from costsvc.store import batch_keys
from costsvc.store.batches import BatchBook
from costsvc.store.holds import Holds
from costsvc.store.job_lease import JobLease
from costsvc.store.ledger import Ledger
from costsvc.store.spool import Spool

_LASTS = timedelta(seconds=15)
"""How long a replica that died keeps others from its work; who lives renews three times as often."""


def wire_batches(  # noqa: PLR0917 - parts of one process
    settings: Settings,
    client: Redis,
    upstream: BatchUpstream,
    calls: Calls,
    completions: Completions,
    prompt_caching: PromptCaching,
    planner: Planner,
    in_force: InForce,
    holds: Holds,
    booking: Booking,
    in_flight: InFlight,
) -> Batches:
    """Return the use cases of batches, and what works beside them."""
    metrics, clock, owner = calls.metrics, calls.clock, new_id()
    book, spool = BatchBook(client), Spool(settings.data_dir / "batches")
    admitting = Admitting(holds, in_force, Seeding(holds, Ledger(client)), metrics, clock)
    money = BatchHolds(holds, admitting, in_force)
    creating = JobLease(client, owner, batch_keys.CREATING, lasts=_LASTS)
    settlement = BatchSettlement(
        book=book, upstream=upstream, booking=booking, catalog=planner.catalog, metrics=metrics, clock=clock
    )
    return Batches(
        planner=planner,
        in_force=in_force,
        spool=spool,
        book=book,
        holds=money,
        upstream=upstream,
        clock=clock,
        listeners=settlement.listeners,
        reviews=settlement.reviews,
        completions=completions,
        prompt_caching=prompt_caching,
        submitter=BatchSubmitter(
            book=book,
            spool=spool,
            upstream=upstream,
            holds=money,
            lease=creating,
            in_flight=in_flight,
            clock=clock,
            every_s=settings.batches.poll_s,
        ),
        poller=BatchPoller(
            book=book,
            upstream=upstream,
            settlement=settlement,
            holds=money,
            lease=JobLease(client, owner, batch_keys.POLLING, lasts=_LASTS),
            creating=creating,
            clock=clock,
            every_s=settings.batches.poll_s,
            adopt_s=settings.batches.adopt_s,
        ),
    )
