"""Taking requests that may wait, and saying what became of them: the use cases behind Defer and its kin.

Nothing is sent here. A budget is asked whether it has room, and holds nothing until the request is sent:
money that is held for a day would be refused to calls that cannot wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256

from costsvc.app.attempt import Attempt, Caller, Completed
from costsvc.app.audience import Audience
from costsvc.app.cached import Cached
from costsvc.app.complete import Completions
from costsvc.app.deferred_words import Words
from costsvc.app.ending_deferred import EndingDeferred
from costsvc.app.ids import new_id
from costsvc.app.planner import Planner
from costsvc.app.room import Room
from costsvc.core.batch import check_item
from costsvc.core.batchable import why_not_batchable
from costsvc.core.call_time import call_time
from costsvc.core.deferred_errors import DeferredFull, NotDeferrable, UnknownDeferred
from costsvc.core.errors import CacheMiss, InvalidRequest, RequestIdReused, Violation
from costsvc.core.request import CacheMode, ModelRequest
from costsvc.core.same_request import fingerprint
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store.deferred import DeferredBook, QueueLimits, Taken
from costsvc.store.deferred_items import Item, State

LARGEST_BYTES = 8 * 1024 * 1024
"""The largest request that may wait in the store."""

LOOK_EVERY_S = 0.5
"""How often the store is asked for somebody who watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that may wait for its answer as long as `tolerance`; `body` is what `Words.read` reads."""

    request: ModelRequest
    body: bytes
    tolerance: timedelta
    webhook: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """A deferred request as it stands, with its answer, or why there is none; b"" before its end."""

    item: Item
    answer: bytes


class Deferral:
    """The deferred requests of all tenants, as their callers see them."""

    def __init__(
        self,
        *,
        book: DeferredBook,
        completions: Completions,
        cached: Cached,
        planner: Planner,
        room: Room,
        words: Words,
        ending: EndingDeferred,
        metrics: Metrics,
        clock: Clock,
        max_call_s: float,
    ) -> None:
        self._book = book
        self._completions = completions
        self._cached = cached
        self._planner = planner
        self._room = room
        self._words = words
        self._ending = ending
        self._metrics = metrics
        self._clock = clock
        self._longest_call = timedelta(seconds=max_call_s)

    def check(self, asked: Asked) -> None:
        """Raise NotDeferrable, or InvalidRequest, of what can be told without a plan."""
        request, rules = asked.request, self._planner.policy.defer
        cause = why_not_batchable(request)
        if self._planner.policy.zero_retention:
            cause = "zero_retention: the provider keeps the results of batches for 29 days"
        elif request.cache_mode is CacheMode.ONLY:
            cause = "cache_mode: a stored answer only is known at once"
        elif request.checks is not None and request.checks.form:
            cause = "accept: no answer of a batch is followed by another one"
        if cause:
            raise NotDeferrable(cause)
        check_item("dfr_", request)
        if asked.webhook and not rules.may_post_to(asked.webhook):
            raise InvalidRequest(Violation("webhook_url", "is not among the policy's [defer] webhook_urls"))
        if len(asked.body) > LARGEST_BYTES:
            problem = f"{len(asked.body)} bytes, more than the {LARGEST_BYTES} that may wait"
            raise InvalidRequest(Violation("request", problem))

    async def defer(self, asked: Asked, caller: Caller) -> Seen:
        """Take a request in that is checked, once per request id.

        Raises:
            DeferredFull, RequestIdReused, StoreUnavailable: nothing was spent.
            And what `Completions.begin` and `Room.check` raise.
        """
        attempt = self._completions.begin(asked.request, caller, deferred=True)
        item = self._item(asked, attempt)
        known = asked.request.request_id and await self._book.find(item.tenant, item.id)
        answer = b""
        if not known:
            answer = await self._stored_answer(attempt)
            if not answer:
                await self._room.check(attempt.plan, attempt.tenant, attempt.started_at)
        await self._take_in(item, asked)
        if answer:
            await self._ending.answered(item, answer)
        return await self.get(item.tenant, item.id)

    async def get(self, tenant: str, id_: str) -> Seen:
        """Return a request as it stands.

        Raises:
            UnknownDeferred: the tenant has none of this id, or no longer.
            StoreUnavailable: the store cannot be asked.
        """
        found = await self._book.find(tenant, id_)
        if found is None:
            raise UnknownDeferred(id_)
        return Seen(*found)

    async def watch(self, tenant: str, id_: str) -> AsyncGenerator[Seen, None]:
        """Yield a request now, and after each change until it has ended."""
        last: Item | None = None
        while last is None or not last.state.has_ended:
            seen = await self.get(tenant, id_)
            if seen.item != last:
                last = seen.item
                yield seen
            else:
                await asyncio.sleep(LOOK_EVERY_S)

    async def cancel(self, tenant: str, id_: str) -> tuple[Seen, bool]:
        """Take a request back; return it as it stands, and whether it may be billed all the same.

        Raises:
            UnknownDeferred: the tenant has none of this id, or no longer.
            StoreUnavailable: it may be canceled or not.
        """
        seen = await self.get(tenant, id_)
        before = await self._ending.canceled(seen.item)
        return await self.get(tenant, id_), before not in {None, State.QUEUED}

    def _item(self, asked: Asked, attempt: Attempt) -> Item:
        request, plan, now = asked.request, attempt.plan, self._clock.now()
        expected = self._planner.expect_output(
            attempt.tenant, plan.decision.model, request.task, plan.needs.max_tokens
        )
        return Item(
            tenant=attempt.tenant,
            id=_id_of(attempt.tenant, request.request_id),
            request_id=request.request_id,
            task=request.task,
            pool=f"{attempt.tenant} {sorted(plan.headers.items())}",
            asked_at=now,
            deadline=now + asked.tolerance,
            call=call_time(expected.upper, self._longest_call),
            size_bytes=len(asked.body),
            webhook=asked.webhook,
        )

    async def _stored_answer(self, attempt: Attempt) -> bytes:
        """Return the stored answer to a request, booked as a hit; b"" where none may serve it."""
        plan = attempt.plan
        if plan.request.cache_mode is not CacheMode.DEFAULT:
            return b""
        request = replace(plan.request, cache_mode=CacheMode.ONLY)
        only = replace(attempt, plan=replace(plan, request=request))
        try:
            look = await self._cached.looking.look(only)
            return self._words.write_answer(await self._cached.answer(only, look, Audience(), _never))
        except CacheMiss:
            return b""

    async def _take_in(self, item: Item, asked: Asked) -> None:
        rules = self._planner.policy.defer
        limits = QueueLimits(rules.most_requests, rules.most_bytes)
        try:
            print_ = await asyncio.to_thread(fingerprint, asked.request)
        except RecursionError:
            raise InvalidRequest(Violation("request.messages_json", "nested too deeply")) from None
        taken = await self._book.defer(item, print_, asked.body, limits)
        if taken is Taken.REUSED:
            raise RequestIdReused
        if taken is Taken.FULL:
            raise DeferredFull
        if taken is Taken.NEW:
            self._metrics.deferred("asked")


async def _never(attempt: Attempt, *_: object) -> Completed:
    """Stand for the call that is not made where only a stored answer will do."""
    raise AssertionError(attempt.attempt_id)


def _id_of(tenant: str, request_id: str) -> str:
    """Return the id of a deferred request: that of its request id, so that a repeat finds it."""
    if not request_id:
        return f"dfr_{new_id()}"
    return f"dfr_{sha256(f'{tenant}:{request_id}'.encode()).hexdigest()[:32]}"
