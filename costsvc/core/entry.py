"""The ledger's entry: one attempt that the provider billed, and what of it the rollups add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from costsvc.core.cacheable import CacheOutcome
from costsvc.core.savings import LeverSaving, Savings
from costsvc.core.usage import Usage

NO_USAGE = Usage()
HITS = frozenset({CacheOutcome.HIT.value, CacheOutcome.NEAR_IDENTICAL.value})

MEASURES = (
    "call_count",
    "cost_nano_usd",
    "baseline_nano_usd",
    "routing_nano_usd",
    "token_reduction_nano_usd",
    "caller_nano_usd",
    "prompt_cache_nano_usd",
    "batch_nano_usd",
    "response_cache_nano_usd",
    "input_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_read_tokens",
    "output_tokens",
    "web_search_count",
    "hit_count",
    "avoided_input_tokens",
    "avoided_output_tokens",
)
"""What a rollup cell adds up, in the order in which it is packed; new measures go at the end."""


SETTLED, RESOLVED = "settled", "resolved"
"""States of an entry: the provider's bill, and a cost that an operator found out."""
CORRECTED, REVERSED = "corrected", "reversed"
"""States of an entry that amends a resolution: the difference to the bill, and the resolution taken back."""

_CALL_COUNTS = {CORRECTED: 0, REVERSED: -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One settled attempt, immutable. A correction is another entry with the signed difference.

    `charges` name the budgets' balances that it counts against: budgets may have been defined since its hold,
    and the store may no longer know the hold. `avoided` are the tokens of a call that was not made,
    and `cache_ref` says which stored answer took its place. `levers` are the parts of token reduction.
    """

    entry_id: str
    attempt_id: str
    response_id: str
    request_id: str
    provider_request_id: str
    tenant: str
    labels: Mapping[str, str] = field(default_factory=dict)
    task: str = ""
    conversation_id: str = ""
    account: str = ""
    requested_model: str
    answering_model: str
    baseline_model: str
    tier: str
    inference_geo: str = ""
    speed: str = "standard"
    service_tier: str = ""
    stop_reason: str = ""
    raw_usage_json: str = ""
    usage: Usage
    cost_nano_usd: int
    baseline_nano_usd: int
    savings: Savings
    levers: tuple[LeverSaving, ...] = ()
    catalog_hash: str
    state: str = SETTLED
    cache_outcome: str = "disabled"
    started_at: datetime
    settled_at: datetime
    first_byte_ms: int = 0
    total_ms: int = 0
    charges: tuple[str, ...] = ()
    avoided: Usage = NO_USAGE
    cache_ref: str = ""

    def measures(self) -> tuple[int, ...]:
        """Return this entry's share of every rollup cell that it belongs to, in the order of `MEASURES`."""
        usage, savings = self.usage, self.savings
        return (
            _CALL_COUNTS.get(self.state, 1),
            self.cost_nano_usd,
            self.baseline_nano_usd,
            savings.routing_nano_usd,
            savings.token_reduction_nano_usd,
            savings.caller_nano_usd,
            savings.prompt_cache_nano_usd,
            savings.batch_nano_usd,
            savings.response_cache_nano_usd,
            usage.input_tokens,
            usage.cache_write_5m_tokens,
            usage.cache_write_1h_tokens,
            usage.cache_read_tokens,
            usage.output_tokens,
            usage.web_search_count,
            int(self.cache_outcome in HITS),
            self.avoided.prompt_tokens,
            self.avoided.output_tokens,
        )


def correction(resolved: Entry, bill: Entry) -> Entry:
    """Return what is to be added to a resolution, so that its attempt adds up to the bill that came later.

    It is the signed difference. Where the bill belongs to other sums, those of another model or tier, it is
    the resolution taken back, and the bill is still to be booked.
    """
    charges = tuple(dict.fromkeys((*resolved.charges, *bill.charges)))
    if (resolved.answering_model, resolved.tier) != (bill.answering_model, bill.tier):
        return replace(
            resolved,
            entry_id=f"{resolved.entry_id}.{REVERSED}",
            state=REVERSED,
            usage=Usage() - resolved.usage,
            cost_nano_usd=-resolved.cost_nano_usd,
            baseline_nano_usd=-resolved.baseline_nano_usd,
            savings=Savings() - resolved.savings,
            settled_at=bill.settled_at,
            charges=charges,
        )
    return replace(
        bill,
        entry_id=f"{bill.entry_id}.{CORRECTED}",
        state=CORRECTED,
        usage=bill.usage - resolved.usage,
        cost_nano_usd=bill.cost_nano_usd - resolved.cost_nano_usd,
        baseline_nano_usd=bill.baseline_nano_usd - resolved.baseline_nano_usd,
        savings=bill.savings - resolved.savings,
        charges=charges,
    )
