"""Answers to near-identical questions: served where the operator lets them be, else only compared.

Every reported mistake counts against them. Where too many are known to be wrong, they are no longer served
until the namespace is invalidated.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog

from costsvc.app.asked import Asked, NearAsked
from costsvc.app.attempt import Completed
from costsvc.app.in_flight import InFlight
from costsvc.app.near_audits import NearAudits
from costsvc.core.agreement import agreement
from costsvc.core.errors import StoreUnavailable
from costsvc.core.json_text import parse_answer
from costsvc.core.mistakes import is_too_wrong, mistake_bound
from costsvc.core.namespace import Namespace, Near
from costsvc.core.response_key import Scope
from costsvc.metrics import Metrics
from costsvc.store.epochs import Epochs, near_scope
from costsvc.store.exchange import Exchange, Pending
from costsvc.store.near_answers import NearAnswers, NearPlace
from costsvc.store.presence import one_call
from costsvc.store.response_codec import StoredAnswer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NearLook:
    """What was asked for near-identical questions."""

    near: NearAsked
    stored: Pending[StoredAnswer | None]
    blocked: Pending[Collection[str]]

    @property
    def found(self) -> StoredAnswer | None:
        """The answer to such a question, if one is at hand that may be compared."""
        with suppress(StoreUnavailable):
            stored = self.stored.result()
            if stored is None or stored.question == self.near.text:
                return None
            return None if self.near.pair(stored.question) in self.blocked.result() else stored
        return None


class NearIdentical:
    """What is done with near-identical questions."""

    def __init__(self, answers: NearAnswers, epochs: Epochs, in_flight: InFlight, metrics: Metrics) -> None:
        self._answers = answers
        self._epochs = epochs
        self._in_flight = in_flight
        self._metrics = metrics
        self._audits = NearAudits(metrics)

    def ask(self, exchange: Exchange, asked: Asked) -> NearLook | None:
        """Ask for the stored answer to a near-identical question, where there may be one."""
        if asked.near is None or asked.namespace.near is Near.OFF:
            return None
        place = asked.near.place
        return NearLook(
            near=asked.near,
            stored=self._answers.ask(exchange, place),
            blocked=self._answers.ask_blocked(exchange, place),
        )

    async def keep(self, asked: Asked, answer: StoredAnswer, ttl: timedelta) -> None:
        """Keep an answer for near-identical questions.

        Raises:
            StoreUnavailable: it is not kept, or it is.
        """
        if asked.near is not None:
            await self._answers.keep(asked.near.place, answer, ttl=ttl)

    def served(self, asked: Asked) -> None:
        """Count an answer that was served."""
        self._in_flight.start(self._count(asked.place.scope, "served"))

    def compare(self, asked: Asked, stored: StoredAnswer, completed: Completed) -> None:
        """Count whether a stored answer says the same as the model did, where it is only looked at."""
        if asked.namespace.near is Near.SHADOW:
            what = agreement(parse_answer(stored.message_json.decode()), completed.message).value
            self._metrics.near_shadow(asked.namespace.name, what)
            self._in_flight.start(self._count(asked.place.scope, what))

    async def evict(self, place: NearPlace) -> None:
        """Remove an answer.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        await self._answers.evict(place)

    async def mistaken(self, place: NearPlace, pair: str, namespace: Namespace | None) -> None:
        """Block a pair of questions, and serve none any more where too many were wrong.

        Raises:
            StoreUnavailable: some may have happened; repeat it.
        """
        scope = place.scope
        await self._answers.block(place, pair)
        audit = await self._answers.count(scope, "mistakes")
        self._audits.note(scope, audit)
        self._metrics.cache_mistake(scope.namespace)
        if namespace and is_too_wrong(audit.mistake_count, audit.served_count, namespace.most_mistakes):
            await self._epochs.invalidate(near_scope(scope.tenant, scope.namespace))
            log.warning(
                "near_identical_switched_off",
                tenant=scope.tenant,
                namespace=scope.namespace,
                mistakes=audit.mistake_count,
                served=audit.served_count,
                bound=round(mistake_bound(audit.mistake_count, audit.served_count), 4),
            )

    async def _count(self, scope: Scope, what: str) -> None:
        with suppress(StoreUnavailable), one_call(math.inf):  # no caller waits for this
            self._audits.note(scope, await self._answers.count(scope, what))
