"""Keeps what answered prompts look like, so that whoever says later how good an answer was teaches the score.

It is written after the answer, some at a time, and waited for by nobody: where the store is away, it is lost.
"""

from __future__ import annotations

import asyncio
from collections import deque

import structlog

from costsvc.app.attempt import Completed
from costsvc.app.local_scores import is_learned
from costsvc.core.errors import StoreUnavailable
from costsvc.core.features import features
from costsvc.core.policy import Policy
from costsvc.core.rules import last_user_text
from costsvc.metrics import Metrics
from costsvc.store.outcomes import OutcomeBook
from costsvc.store.seen_codec import Seen

log = structlog.get_logger()

MOST_WAITING = 1_000
_AT_ONCE = 100


class Learner:
    """Keeps answered prompts. `keep_writing` runs beside it, in a task of its own."""

    def __init__(self, book: OutcomeBook, metrics: Metrics) -> None:
        self._book = book
        self._metrics = metrics
        self._waiting: deque[tuple[str, Seen]] = deque(maxlen=MOST_WAITING)
        self._some = asyncio.Event()
        self._writing = asyncio.Lock()

    def note(self, completed: Completed, policy: Policy) -> None:
        """Remember an answer that routing chose the model of, if the policy has its task learned."""
        attempt = completed.attempt
        request, decision = attempt.plan.request, attempt.plan.decision
        if decision.tier is None or not is_learned(request, attempt.tenant, policy):
            return
        score, usage = attempt.plan.score, completed.reported.totals
        if score is not None:
            choice = score.tier(request.min_tier, request.max_tier)
            self._metrics.scored(score.state, choice.label, decision.tier.label)
        seen = Seen(
            tenant=attempt.tenant,
            task=request.task,
            tier=decision.tier,
            model=decision.model.id,
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.output_tokens,
            features=score.found if score else features(last_user_text(request)),
        )
        if len(self._waiting) == MOST_WAITING:
            self._metrics.prompts_not_kept(1)
        self._waiting.append((attempt.response_id, seen))
        self._some.set()

    async def keep_writing(self) -> None:
        """Write what is noted, for as long as the process lives."""
        while True:
            await self._some.wait()
            await self.write()

    async def write(self) -> None:
        """Write all that is noted; afterwards it is kept, or lost."""
        async with self._writing:
            self._some.clear()
            while self._waiting:
                some = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
                try:
                    await self._book.keep(some)
                except StoreUnavailable:
                    self._metrics.prompts_not_kept(len(some))
                except Exception:
                    log.exception("prompts_not_kept")  # nothing to learn from is no reason to stop
                    self._metrics.prompts_not_kept(len(some))
