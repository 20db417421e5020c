"""Saying why prompts were not read from the provider's cache, and adding up what it did.

A prompt is compared with the one before it: in its conversation, or else of its task on the same model. What
comes of it is written in the one exchange that follows an answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime

from costsvc.app.attempt import Completed
from costsvc.core.arrangement import View
from costsvc.core.catalog import Catalog
from costsvc.core.marked import Marking, Prompt
from costsvc.core.misses import Answered, Miss, explain, loss_nano_usd
from costsvc.core.request import ModelRequest
from costsvc.core.tallies import Row, miss_row, prefix_row
from costsvc.core.traits import Traits, traits_of
from costsvc.core.usage import Usage
from costsvc.metrics import Metrics
from costsvc.store.exchange import Exchange, Pending
from costsvc.store.prompt_sums import PromptSums

_MOST_WRITES = 1_024


class Explaining:
    """Compares prompts with those before them."""

    def __init__(self, sums: PromptSums, catalog: Catalog, metrics: Metrics) -> None:
        self._sums = sums
        self._catalog = catalog
        self._metrics = metrics
        self._written: OrderedDict[tuple[str, bytes], datetime] = OrderedDict()

    def ask(
        self, exchange: Exchange, tenant: str, request: ModelRequest, models: Sequence[str]
    ) -> Pending[dict[str, Traits]]:
        """Ask for the prompts that a request will be compared with, on the models that may answer."""
        names = [_of_task(request, model) for model in models]
        return self._sums.ask(exchange, tenant, [*_of_conversation(request), *names])

    def add(self, exchange: Exchange, completed: Completed, settled_at: datetime) -> Miss | None:
        """Add what an answer says to what will be written; return the miss, if it was one."""
        attempt, reported = completed.attempt, completed.reported
        plan, task, model = attempt.plan, attempt.plan.request.task, attempt.plan.decision.model.id
        usage, marking = reported.totals, attempt.plan.markers
        rows, traits, miss = list[Row](), dict[str, Traits](), None
        if marking is not None or usage.prompt_tokens != usage.input_tokens:
            planned = marking.plan if marking is not None else None
            rows.append(prefix_row(planned, task, model, usage, completed.account.savings))
        if marking is not None and plan.prompt is not None:
            request = plan.levers.request
            now = traits_of(request, model, int(attempt.started_at.timestamp()))
            names = [*_of_conversation(request), _of_task(request, model)]
            traits = dict.fromkeys(names, now)
            parallel = self._parallel(marking, usage, attempt.started_at, settled_at)
            miss = explain(_answered(marking, plan.prompt, names, now, completed, parallel))
        if miss is not None:
            lost_nano_usd = loss_nano_usd(self._catalog, reported, miss.tokens, at=attempt.started_at)
            rows.append(miss_row(miss, task, model, lost_nano_usd))
            self._metrics.prompt_cache_missed(miss.reason)
        self._sums.add(exchange, attempt.tenant, rows, traits, at=attempt.started_at)
        return miss

    def _parallel(
        self, marking: Marking, usage: Usage, started_at: datetime, settled_at: datetime
    ) -> View | None:
        """Return the longest prefix that another call of this process was writing when this one did.

        Calls of other processes are not seen.
        """
        if usage.cache_write_5m_tokens + usage.cache_write_1h_tokens == 0:
            return None
        found = None
        for view in (marker.view for marker in marking.plan.markers):
            key = (marking.model.id, view.spot.digest)
            if self._written.get(key, started_at) > started_at:
                found = view
            self._written[key] = settled_at
            self._written.move_to_end(key)
        while len(self._written) > _MOST_WRITES:
            self._written.popitem(last=False)
        return found


def _answered(  # noqa: PLR0917 - all that is known of an answer
    marking: Marking,
    prompt: Prompt,
    names: Sequence[str],
    now: Traits,
    completed: Completed,
    parallel: View | None,
) -> Answered:
    found = [name for name in names if name in prompt.before]
    return Answered(
        request=completed.attempt.plan.levers.request,
        plan=marking.plan,
        views=marking.views,
        states=prompt.on(marking.model.id).states,
        before=prompt.before[found[0]] if found else None,
        now=now,
        usage=completed.reported.totals,
        message=completed.message,
        min_tokens=marking.model.min_cacheable_tokens,
        break_even=marking.break_even_5m,
        parallel=parallel,
        is_next_turn=bool(found) and found[0] in _of_conversation(completed.attempt.plan.request),
    )


def _of_conversation(request: ModelRequest) -> list[str]:
    return [f"c:{request.conversation_id}"] if request.conversation_id else []


def _of_task(request: ModelRequest, model: str) -> str:
    return f"t:{model}:{request.task}"
