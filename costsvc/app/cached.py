"""Answering from the response cache, and keeping what may serve others.

While the store is away, a look-up is a miss.
"""

from __future__ import annotations

from dataclasses import replace

from costsvc.app.asked import Asked
from costsvc.app.attempt import Attempt, Completed, entry_of
from costsvc.app.audience import Audience
from costsvc.app.hit import hit
from costsvc.app.hits import Hits
from costsvc.app.in_flight import InFlight
from costsvc.app.leading import End, Ended, Leading
from costsvc.app.looking import Look, Looking
from costsvc.app.near import NearIdentical
from costsvc.app.once import Run
from costsvc.app.planner import Planner
from costsvc.core.cacheable import CacheOutcome, why_not_kept
from costsvc.core.entry import Entry
from costsvc.core.errors import CacheMiss, DeadlineTooShort, StoreUnavailable
from costsvc.core.namespace import Near
from costsvc.core.request import CacheMode
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store.response_codec import StoredAnswer
from costsvc.store.responses import Responses, Turn


class Cached:
    """Calls, answered from the cache where they can be."""

    def __init__(
        self,
        *,
        looking: Looking,
        leading: Leading,
        responses: Responses,
        near: NearIdentical,
        hits: Hits,
        in_flight: InFlight,
        planner: Planner,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.looking = looking
        self._leading = leading
        self._responses = responses
        self._near = near
        self._hits = hits
        self._in_flight = in_flight
        self._planner = planner
        self._metrics = metrics
        self._clock = clock

    async def answer(self, attempt: Attempt, look: Look, audience: Audience, run: Run) -> Completed:
        """Return a stored answer, the answer of a call that runs, or else that of `run`.

        What runs goes on when its caller leaves; what waits does not.

        Raises:
            CacheMiss: the caller wants a stored answer only.
            DeadlineTooShort: this call's time ended while it waited for another's answer.
            And what `run` raises.
        """
        asked = look.asked
        if isinstance(asked, Asked):
            completed = await self._answer(look, asked, attempt, audience, run)
        elif attempt.plan.request.cache_mode is CacheMode.ONLY:
            raise CacheMiss(asked.value)
        else:
            completed = await self._in_flight.run(run(replace(attempt, cache_outcome=asked), look, audience))
        self._metrics.cache(completed.attempt.cache_outcome.value)
        return completed

    async def _answer(
        self, look: Look, asked: Asked, attempt: Attempt, audience: Audience, run: Run
    ) -> Completed:
        match attempt.plan.request.cache_mode:
            case CacheMode.REFRESH:
                return await self._lead(look, asked, attempt, run)
            case CacheMode.ONLY:
                found = await self._found(look, asked, attempt)
                if isinstance(found, Completed):
                    return found
                raise CacheMiss(CacheOutcome.MISS.value)
        return await self._lead_or_follow(look, asked, attempt, audience, run)

    async def _lead_or_follow(
        self, look: Look, asked: Asked, attempt: Attempt, audience: Audience, run: Run
    ) -> Completed:
        while True:
            found = await self._found(look, asked, attempt)
            if isinstance(found, Completed):
                return found
            flight = self._leading.flight(asked.place)
            if found is Turn.LEAD or (found is Turn.NONE and flight is None):
                return await self._lead(look, asked, attempt, run)
            if found is not None and flight is None:
                flight = self._leading.follow_elsewhere(asked.place)
            if flight is not None:
                end = await self._leading.joined(flight, attempt)
                if isinstance(end, StoredAnswer) and (completed := self._served(end, asked, attempt)):
                    return completed
                attempt = self._resumed(attempt)
                if end is not Ended.NEXT:
                    return await self._in_flight.run(run(_missed(attempt), look, audience))
            look = await self.looking.look_again(look, attempt)

    async def _found(self, look: Look, asked: Asked, attempt: Attempt) -> Completed | Turn | None:
        """Return the stored answer, or whose turn it is: NONE where the store is away, None if not asked."""
        if look.found is None:
            return None
        try:
            found = look.found.result()
            if isinstance(found, StoredAnswer):
                if completed := self._served(found, asked, attempt):
                    return completed
                found = None
            if found is None:
                found = await self._responses.take_turn(asked.place, look.token)
        except StoreUnavailable:
            return Turn.NONE
        completed = self._found_nearby(look, asked, attempt)
        if completed is not None and found is Turn.LEAD:
            self.looking.give_up(look)
        return completed or found

    def _found_nearby(self, look: Look, asked: Asked, attempt: Attempt) -> Completed | None:
        """Return the stored answer to a near-identical question, where such are served."""
        stored = look.near.found if look.near and asked.namespace.near is Near.ON else None
        if stored is None or asked.near is None:
            return None
        rules = tuple(dict.fromkeys((*asked.near.rules, *stored.rules)))
        completed = self._served(stored, asked, attempt, rules=rules)
        if completed is not None:
            self._near.served(asked)
        return completed

    def _served(
        self, stored: StoredAnswer, asked: Asked, attempt: Attempt, *, rules: tuple[str, ...] | None = None
    ) -> Completed | None:
        """Return a stored answer to a call, booked; None where it must not be served, or is too old."""
        now, longest = self._clock.now(), attempt.plan.request.cache_max_age
        if not asked.numbers.spare(attempt.tenant, stored.labels, stored.version):
            return None
        if longest is not None and now - stored.stored_at > longest:
            return None
        completed = hit(
            stored,
            attempt,
            self._planner.catalog,
            self._planner.policy,
            now=now,
            ref=_ref(asked, stored, rules),
            rules=rules,
        )
        if completed is not None:
            self._hits.book(self.entry(completed))
        return completed

    def entry(self, completed: Completed) -> Entry:
        """Return the ledger's entry for a hit."""
        total_ms = round((self._clock.monotonic() - completed.attempt.started_s) * 1000)
        return entry_of(
            completed,
            self._planner.catalog,
            charges=(),
            settled_at=self._clock.now(),
            first_byte_ms=total_ms,
            total_ms=total_ms,
        )

    async def _lead(self, look: Look, asked: Asked, attempt: Attempt, run: Run) -> Completed:
        """Ask the provider for all who wait, and for the cache: what it wants is read to its end."""
        token = attempt.response_id

        async def ask() -> Completed:
            audience = Audience()
            with audience.member():
                return await run(_missed(attempt), look, audience)

        shadow = look.near.found if look.near and asked.namespace.near is Near.SHADOW else None
        completed = await self._leading.lead(
            asked.place,
            token,
            ask,
            share=lambda completed: self._to_share(asked, completed),
            tell=lambda end: self._tell(asked, end, token),
        )
        if shadow is not None:
            self._near.compare(asked, shadow, completed)
        return completed

    def _to_share(self, asked: Asked, completed: Completed) -> End:
        """Return an answer as others may have it."""
        attempt, resolve = completed.attempt, self._planner.catalog.resolve
        model = attempt.plan.chosen_model
        why = why_not_kept(
            completed.message,
            asked.namespace.allowed,
            asked_model=model,
            model_ids={resolve(model).id for model, _ in completed.reported.parts},
        )
        if not why and not completed.is_accepted:
            why = "checks failed"
        if not why and len(completed.message_json) > asked.namespace.largest_bytes:
            why = "too large"
        if why:
            self._metrics.not_kept(why.split()[0])
            return Ended.ALONE
        return StoredAnswer(
            tenant=attempt.tenant,
            fingerprint=asked.place.fingerprint,
            response_id=attempt.response_id,
            model=model,
            stored_at=self._clock.now(),
            version=asked.numbers.version,
            labels=attempt.plan.request.labels,
            question=asked.near.text if asked.near else "",
            rules=asked.near.rules if asked.near else (),
            message_json=completed.message_json,
        )

    async def _tell(self, asked: Asked, end: End, token: str) -> None:
        """Tell other processes how it ended."""
        try:
            if isinstance(end, StoredAnswer):
                await self._responses.keep(asked.place, end, ttl=asked.namespace.ttl, token=token)
                await self._near.keep(asked, end, asked.namespace.ttl)
            else:
                await self._responses.give_up(asked.place, token)
        except StoreUnavailable:
            self._metrics.not_kept("store_away")

    def _resumed(self, attempt: Attempt) -> Attempt:
        """Return an attempt that begins now, with the time that is left of it."""
        now_s = self._clock.monotonic()
        left_s = attempt.left_s(now_s)
        if left_s <= 0:
            raise DeadlineTooShort
        return replace(attempt, started_at=self._clock.now(), started_s=now_s, timeout_s=left_s)


def _missed(attempt: Attempt) -> Attempt:
    return replace(attempt, cache_outcome=CacheOutcome.MISS)


def _ref(asked: Asked, stored: StoredAnswer, rules: tuple[str, ...] | None) -> str:
    """Return what a hit is found by when it is reported as a mistake."""
    scope, near = asked.place.scope, asked.near
    pair = near.pair(stored.question) if near and rules is not None else ""
    prints = (asked.place.fingerprint, near.place.fingerprint if near else "", pair)
    return ":".join((scope.namespace, str(scope.epoch), *prints))
