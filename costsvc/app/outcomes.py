"""What callers say of the quality of answers, and what the local score has learned from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from costsvc.app.admin import Page
from costsvc.app.learner import Learner
from costsvc.app.pages import page_size, read_token, write_token
from costsvc.core.errors import InvalidRequest, UnknownResponse, Violation
from costsvc.core.local_score import Fit
from costsvc.core.policy import Policy
from costsvc.core.request import Tier
from costsvc.ports import Clock
from costsvc.store.fits import FitBook
from costsvc.store.outcomes import Counts, OutcomeBook, Rating
from costsvc.store.pairs import Pair, PairBook
from costsvc.store.seen_codec import Seen

LARGEST_PAIRS_PAGE = 40
"""With the longest texts that are compared, about 30 MB."""


class State(Enum):
    """Whether a score decides."""

    LEARNING = "learning"
    SHADOW = "shadow"
    SERVING = "serving"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What there is to learn from now."""

    seen: Seen
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """What is learned of a tenant's task; `why_not` says why the score does not decide, "" where it does."""

    tenant: str
    task: str
    counts: Counts
    state: State
    why_not: str
    fit: Fit | None


class Outcomes:
    """The use cases behind RecordOutcome, GetRouterStatus and ListPairs."""

    def __init__(
        self,
        *,
        book: OutcomeBook,
        fits: FitBook,
        pairs: PairBook,
        learner: Learner,
        policy: Callable[[], Policy],
        clock: Clock,
    ) -> None:
        self._book = book
        self._fits = fits
        self._pairs = pairs
        self._learner = learner
        self._policy = policy
        self._clock = clock

    async def record(self, response_id: str, scores: Mapping[Tier | None, float]) -> Taught:
        """Take in how good answers to one prompt are, by tier; None is the tier that answered.

        Raises:
            UnknownResponse: nothing is kept of it to learn from.
            StoreUnavailable: it may have happened or not; repeat it.
        """
        await self._learner.write()
        seen = await self._book.find(response_id)
        if seen is None:
            raise UnknownResponse(response_id)
        first_models = self._policy().first_models
        ratings = {}
        for named, score in scores.items():
            tier = named or seen.tier
            model = seen.model if tier is seen.tier else first_models[tier - 1]
            ratings[tier] = Rating(score=score, model=model)
        counts = await self._book.record(response_id, seen, ratings, at=self._clock.now())
        return Taught(seen=seen, counts=counts)

    async def status(self, *, tenant: str, task: str, size: int, token: str) -> Page[TaskStatus]:
        """Return a page of what is learned, by tenant and task.

        Raises:
            InvalidRequest: a token of another query.
            StoreUnavailable: no answer in time.
        """
        query = f"router {tenant} {task}"
        after = read_token(token, query)
        tasks = [pair for pair in await self._book.tasks(tenant=tenant, task=task) if ":".join(pair) > after]
        shown = tasks[: page_size(size)]
        rows = [await self._status(*pair) for pair in shown]
        following = ":".join(shown[-1]) if len(tasks) > len(shown) else ""
        return Page(tuple(rows), write_token(query, following))

    async def list_pairs(self, *, tenant: str, size: int, token: str) -> Page[Pair]:
        """Return a page of a tenant's pairs of answers, oldest first.

        Raises:
            InvalidRequest: a token of another query.
            StoreUnavailable: no answer in time.
        """
        query, rows = f"pairs {tenant}", min(size or LARGEST_PAIRS_PAGE, LARGEST_PAIRS_PAGE)
        last = _moment(read_token(token, query))
        oldest = self._clock.now() - self._policy().shadowing.kept
        after = max(last, oldest) if last else oldest
        found = await self._pairs.list(tenant, after=after, size=rows + 1)
        shown = tuple(found[:rows])
        following = shown[-1].made_at.isoformat() if len(found) > rows else ""
        return Page(shown, write_token(query, following))

    async def _status(self, tenant: str, task: str) -> TaskStatus:
        name, fit = await self._fits.get(tenant, task)
        why_not = self._why_not(tenant, task, name, fit)
        decides = State.SHADOW if why_not else State.SERVING
        return TaskStatus(
            tenant=tenant,
            task=task,
            counts=await self._book.counts(tenant, task),
            state=State.LEARNING if fit is None else decides,
            why_not=why_not,
            fit=fit,
        )

    def _why_not(self, tenant: str, task: str, name: str, fit: Fit | None) -> str:
        """Say why the score does not decide; `name` is that of a fit, also of one that cannot be used."""
        policy = self._policy()
        if policy.learning(tenant, task) is None:
            return "the policy does not have it learned"
        if fit is None:
            return "fitted by another version of costsvc" if name else "not fitted yet, or not for a month"
        return fit.why_not(policy.first_models)


def _moment(last: str) -> datetime | None:
    """Return the instant of the last pair of a page, None before the first."""
    try:
        moment = datetime.fromisoformat(last) if last else None
    except ValueError:
        moment = None
    if last and (moment is None or moment.tzinfo is None):
        raise InvalidRequest(Violation("page_token", "is not a token of this service"))
    return moment
