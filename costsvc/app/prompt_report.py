"""Reporting what the prompt cache did for a tenant, and what to change about its prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from costsvc.core.catalog import Catalog
from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.prompt_advice import PromptAdvice, advise_on_prompts
from costsvc.core.tallies import MissTally, PrefixTally, read_misses_of, read_prefixes_of
from costsvc.ports import Clock
from costsvc.store.prompt_sums import PromptSums

LONGEST_RANGE = timedelta(days=100)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptReport:
    """Sums of whole days (UTC), and the seconds from the first call among them to the end."""

    prefixes: Sequence[PrefixTally]
    misses: Sequence[MissTally]
    advice: Sequence[PromptAdvice]
    observed_s: int


class PromptReporter:
    """The use case behind ReportPromptCache."""

    def __init__(self, sums: PromptSums, catalog: Catalog, clock: Clock) -> None:
        self._sums = sums
        self._catalog = catalog
        self._clock = clock

    async def report(self, tenant: str, start: datetime, end: datetime) -> PromptReport:
        """Return a tenant's sums over the days of a range.

        Raises:
            InvalidRequest: a range that is empty or too long.
            StoreUnavailable: the sums cannot be read.
        """
        if start >= end:
            raise InvalidRequest(Violation("end_time", "must be after start_time"))
        if end - start > LONGEST_RANGE:
            problem = f"more than {LONGEST_RANGE.days} days after start_time"
            raise InvalidRequest(Violation("end_time", problem))
        sums = await self._sums.read(tenant, start, end)
        prefixes, misses = read_prefixes_of(sums.rows), read_misses_of(sums.rows)
        seen_until = min(end, self._clock.now())
        observed_s = 0 if sums.first_s is None else max(int(seen_until.timestamp()) - sums.first_s, 0)
        least = {name: model.min_cacheable_tokens for name, model in self._catalog.models.items()}
        advice = advise_on_prompts(prefixes, misses, observed_s=observed_s, min_tokens=least)
        return PromptReport(prefixes=prefixes, misses=misses, advice=advice, observed_s=observed_s)
