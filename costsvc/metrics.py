"""What dashboards and alerts see of one process. No tenant is ever a label: their spend is in reports.

Amounts are floats here, good for a graph and not for a bill. A technique that lost money counts under lost,
because a counter only rises: what it brought is saved minus lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from costsvc.core.money import NANO_PER_USD
from costsvc.core.savings import Savings
from costsvc.core.usage import Usage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_RATIOS = (0.5, 0.75, 1, 1.25, 1.5, 2, 3, 5, 10, 30, 100)
_TECHNIQUES = tuple((f.name, f.name.removesuffix("_nano_usd")) for f in fields(Savings))
_CLASSES = tuple(
    (f.name, f.name.removesuffix("_tokens")) for f in fields(Usage) if f.name.endswith("_tokens")
)


class Metrics:
    """Every metric of this process, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series a counter, for no graph here
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._calls = self._counter("calls", "RPCs that ended.", "method", "code")
        self._seconds = Histogram(
            "costsvc_call_seconds",
            "How long RPCs took.",
            ["method"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self._hold_ratio = Histogram(
            "costsvc_hold_ratio",
            "What calls held as their likely cost, by what they cost.",
            buckets=_RATIOS,
            registry=self.registry,
        )
        self._cost = self._counter("cost_usd", "What the provider charged, about.", "model")
        self._saved = self._counter("saved_usd", "What techniques saved, about.", "technique")
        self._lost = self._counter("lost_usd", "What techniques lost where they cost more.", "technique")
        self._tokens = self._counter("tokens", "Tokens by price class.", "model", "class")
        self._unsettled = self._counter("unsettled_attempts", "Attempts whose bill is unknown.", "reason")
        self._failed = self._counter(
            "failed_attempts", "Attempts that the provider did not answer.", "failure"
        )
        self._alerts = self._counter("budget_alerts", "Thresholds reached.", "threshold_permille")
        self._webhooks = self._counter("alert_webhooks", "Alerts posted, in vain, or given up.", "outcome")
        self._refused = self._counter("budget_refusals", "Calls that a hard budget refused.")
        self._unheld = self._counter(
            "unheld_attempts", "Attempts made without a hold, or rejected, because the store was away.", "why"
        )
        self._replays = self._counter(
            "replays", "Repeated calls that got an earlier call's answer.", "source"
        )
        self._checked = self._counter(
            "checked_answers", "Answers with checks: accepted, escalated, not_accepted.", "outcome"
        )
        self._add_deferred()
        self._add_cache()
        self._add_router()
        self._in_flight = self._gauge("in_flight_calls", "RPCs that run.")
        self._store = self._gauge("store_available", "1 while the store answers, else 0.")
        self._journal_ok = self._gauge("journal_ok", "1 while the journal takes settlements, else 0.")
        self._journal_bytes = self._gauge("journal_bytes", "Bytes of the journal's records.")
        self._pending = self._gauge("pending_settlements", "Settlements that the store has not taken yet.")
        self._policy_failed = self._gauge(
            "policy_reload_failed", "1 while the policy file cannot be used and an earlier one is in force."
        )
        self._children: dict[tuple[str, ...], tuple[Counter, Histogram]] = {}
        self._token_children: dict[str, tuple[Counter, tuple[tuple[str, Counter], ...]]] = {}

    def call_began(self) -> None:
        """Count an RPC as running."""
        self._in_flight.inc()

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        """Count an RPC as ended: its method's name, its status code's name, how long it took."""
        self._in_flight.dec()
        children = self._children.get((method, code))
        if children is None:
            children = self._calls.labels(method, code), self._seconds.labels(method)
            self._children[method, code] = children
        calls, duration = children
        calls.inc()
        duration.observe(seconds)

    def settled(self, model: str, cost_nano_usd: int, savings: Savings, usage: Usage) -> None:
        """Add a settled attempt of the answering model."""
        children = self._token_children.get(model)
        if children is None:
            children = self._cost.labels(model), tuple(self._token_counters(model))
            self._token_children[model] = children
        cost, tokens = children
        cost.inc(cost_nano_usd / NANO_PER_USD)
        for name, counter in tokens:
            if count := getattr(usage, name):
                counter.inc(count)
        self._add_savings(savings)

    def deferred(self, what: str) -> None:
        """Count a deferred request as asked, or as ended, or as answered after its deadline: late."""
        self._deferred.labels(what).inc()

    def held(self, likely_nano_usd: int, cost_nano_usd: int) -> None:
        """Compare what was held for a call with its bill; one that is free has nothing to compare with."""
        if cost_nano_usd > 0:
            self._hold_ratio.observe(likely_nano_usd / cost_nano_usd)

    def attempt_failed(self, failure: str) -> None:
        """Count an attempt that failed, retried or not."""
        self._failed.labels(failure).inc()

    def budget_alert(self, threshold_permille: int) -> None:
        """Count a threshold that a budget has reached: once a budget, instance and window."""
        self._alerts.labels(str(threshold_permille)).inc()

    def alert_webhook(self, outcome: str) -> None:
        """Count an alert that was sent, a try that failed, or an alert that was dropped."""
        self._webhooks.labels(outcome).inc()

    def budget_refused(self) -> None:
        """Count a call that a hard budget refused."""
        self._refused.inc()

    def unheld(self, why: str) -> None:
        """Count an attempt that the store could not hold for: `rejected`, or by what it is made without."""
        self._unheld.labels(why).inc()

    def replayed(self, source: str) -> None:
        """Count a call that got the answer of a running call (`joined`), or a kept one (`kept`)."""
        self._replays.labels(source).inc()

    def checked(self, outcome: str) -> None:
        """Count an answer by what its checks led to."""
        self._checked.labels(outcome).inc()

    def _add_deferred(self) -> None:
        self._deferred = self._counter(
            "deferred_requests", "Deferred requests: asked, and answered, failed, canceled or late.", "what"
        )

    def _add_cache(self) -> None:
        self._cache = self._counter("cache", "Calls by what the response cache did.", "outcome")
        self._near_shadow = self._counter(
            "cache_shadow", "Near-identical answers that were only compared.", "namespace", "outcome"
        )
        self._near_mistakes = self._counter(
            "cache_mistakes", "Stored answers that were reported as wrong.", "namespace"
        )
        self._near_bound = Gauge(
            "costsvc_cache_mistake_bound",
            "Share of wrong near-identical answers, by reports: upper bound (one-sided, 95 %).",
            ["namespace"],
            registry=self.registry,
        )
        self._not_kept = self._counter("cache_not_kept", "Answers that could not be kept.", "why")
        self._prefixes_relied = self._counter("prompt_cache_relied", "Prefixes expected at the provider.")
        self._first_writes = self._counter("prompt_cache_waits", "Calls that waited for a write.", "outcome")
        self._first_write_s = self._counter("prompt_cache_wait_seconds", "How long they waited, together.")
        self._prefixes_read = self._counter("prompt_cache_read", "Those of them that were there.")
        self._prompt_misses = self._counter("prompt_cache_misses", "Reads that could have been.", "reason")

    def prefixes(self, *, relied: int, read: int) -> None:
        """Count prefixes that a prompt's plan expected in the provider's cache, and those that were there."""
        self._prefixes_relied.inc(relied)
        self._prefixes_read.inc(read)

    def first_write(self, outcome: str, seconds: float) -> None:
        """Count a call that waited until another had begun to write a prefix, or for too long."""
        self._first_writes.labels(outcome).inc()
        self._first_write_s.inc(seconds)

    def prompt_cache_missed(self, reason: str) -> None:
        """Count a prompt that could have been read from the provider's cache, by why it was not."""
        self._prompt_misses.labels(reason).inc()

    def cache(self, outcome: str) -> None:
        """Count a call by what the response cache did for it."""
        self._cache.labels(outcome).inc()

    def not_kept(self, why: str) -> None:
        """Count an answer in a namespace that could not be kept."""
        self._not_kept.labels(why).inc()

    def near_shadow(self, namespace: str, outcome: str) -> None:
        """Count a near-identical answer that was only compared: `agreed`, `differed`, or `unclear`."""
        self._near_shadow.labels(namespace, outcome).inc()

    def near_bound(self, namespace: str, bound: Callable[[], float]) -> None:
        """Show a namespace's bound of mistakes, as it is whenever it is looked at."""
        self._near_bound.labels(namespace).set_function(bound)

    def cache_mistake(self, namespace: str) -> None:
        """Count a reported mistake."""
        self._near_mistakes.labels(namespace).inc()

    def _add_router(self) -> None:
        self._scored = self._counter(
            "scored_calls",
            "Answered calls with a local score: the tier that it chooses, and the one that answered.",
            *("state", "choice", "answered"),
        )
        self._prompts_not_kept = self._counter(
            "prompts_not_kept", "Answers of learned tasks whose outcome cannot be told: the store was away."
        )

        self._verdicts = self._counter(
            "classifier_verdicts",
            "Requests of unclear work, by verdict and by how it came about.",
            "verdict",
            "how",
        )
        self._classifier_cost = self._counter("classifier_cost_usd", "What verdicts cost, about.")
        self._compared = self._counter(
            "shadow_comparisons",
            "Comparisons with the baseline model by what became of them.",
            "outcome",
        )

    def compared(self, outcome: str) -> None:
        """Count an answer that was compared with that of the baseline model."""
        self._compared.labels(outcome).inc()

    def classified(self, verdict: str, how: str, cost_nano_usd: int = 0) -> None:
        """Count a request that the classifier could say something of: a tier, or `none`.

        It was `asked` or `kept` from earlier; or `late`, `failed`, or `not_worth_it`.
        """
        self._verdicts.labels(verdict, how).inc()
        self._classifier_cost.inc(cost_nano_usd / NANO_PER_USD)

    def scored(self, state: str, choice: str, answered: str) -> None:
        """Count an answered call with a score that is in `shadow`, or `serving`."""
        self._scored.labels(state, choice, answered).inc()

    def prompts_not_kept(self, count: int) -> None:
        """Count answers that nothing can be learned from, because the store did not take them."""
        self._prompts_not_kept.inc(count)

    def unsettled(self, reason: str) -> None:
        """Count an attempt whose bill is unknown, such as one that was cancelled half-way."""
        self._unsettled.labels(reason).inc()

    def store_available(self, available: bool) -> None:
        """Note whether the store answers."""
        self._store.set(available)

    def pending_settlements(self, count: int) -> None:
        """Note how many settlements the store has not taken yet."""
        self._pending.set(count)

    def journal(self, *, ok: bool, size_bytes: int) -> None:
        """Note whether the journal takes settlements, and how much it holds."""
        self._journal_ok.set(ok)
        self._journal_bytes.set(size_bytes)

    def policy_reload_failed(self, *, failed: bool) -> None:
        """Note whether the policy file can be used."""
        self._policy_failed.set(failed)

    def text(self) -> bytes:
        """Return the exposition, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def _token_counters(self, model: str) -> Iterator[tuple[str, Counter]]:
        for name, label in _CLASSES:
            yield name, self._tokens.labels(model, label)

    def _add_savings(self, savings: Savings) -> None:
        for name, technique in _TECHNIQUES:
            saved_nano_usd = getattr(savings, name)
            if saved_nano_usd > 0:
                self._saved.labels(technique).inc(saved_nano_usd / NANO_PER_USD)
            elif saved_nano_usd < 0:
                self._lost.labels(technique).inc(-saved_nano_usd / NANO_PER_USD)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"costsvc_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"costsvc_{name}", meaning, registry=self.registry)
