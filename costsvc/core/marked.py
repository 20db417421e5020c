"""A prompt, what is known of its prefixes, and the breakpoints that it gets on one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from costsvc.core.arrangement import Ratios, View
from costsvc.core.json_text import Member
from costsvc.core.markers import Marker, MarkerPlan, plan_markers, ratios_of, weigh_spots
from costsvc.core.marking import mark
from costsvc.core.model import Model
from costsvc.core.money import PICO_PER_NANO
from costsvc.core.prefixes import TAIL, TOOLS, Prefixes, Spot
from costsvc.core.prompt_cache import Prefix
from costsvc.core.rates import Rates
from costsvc.core.request import ModelRequest
from costsvc.core.reuse import FIVE_MINUTES_S, ONE_HOUR_S, Reuse
from costsvc.core.traits import Traits


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the prefixes of a prompt by their digests, and of their kinds by name."""

    states: Mapping[bytes, Reuse] = field(default_factory=dict)
    kin: Mapping[str, Reuse] = field(default_factory=dict)

    def with_live(self, shared: Shared, *, at_s: int) -> Known:
        """Return this with one more prefix that lives."""
        own = self.states.get(shared.digest) or Reuse(last_s=at_s, kin=shared.kin)
        alive = replace(own, warm_until_s=shared.until_s, one_hour=shared.one_hour)
        return Known({**self.states, shared.digest: alive}, self.kin)


UNKNOWN = Known()


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prefixes of a request, and what is known of them on each model that may answer.

    `before` are the last prompts that it can be compared with, by what they are kept under.
    """

    request: ModelRequest
    prefixes: Prefixes
    known: Mapping[str, Known]
    before: Mapping[str, Traits] = field(default_factory=dict)

    def on(self, model: str) -> Known:
        """Return what is known on a model."""
        return self.known.get(model, UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A prefix that one call is about to write, and others with it; it lives until an instant."""

    digest: bytes
    kin: str
    until_s: int
    one_hour: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Marking:
    """The breakpoints of a request on one model, with what they were planned by."""

    model: Model
    prefixes: Prefixes
    views: Sequence[View]
    plan: MarkerPlan
    ratios: Ratios
    input_pico_usd: int

    def nano_usd(self, input_tokens: float) -> int:
        """Return what so many plain input tokens cost."""
        return round(input_tokens * self.input_pico_usd / PICO_PER_NANO)

    @property
    def prefix(self) -> Prefix:
        """What is in front of the last breakpoint, the caller's included."""
        last = max((marker.view.tokens for marker in self.plan.markers), default=0)
        return Prefix(tokens=round(last), one_hour=self.plan.one_hour)

    @property
    def break_even_5m(self) -> float:
        """The chance of a use within 5 minutes from which on a breakpoint for so long pays."""
        return (self.ratios.write_5m - 1) / (self.ratios.write_5m - self.ratios.read)

    @property
    def is_ours(self) -> bool:
        """Whether all breakpoints are costsvc's, so that what they save is."""
        return bool(self.plan.ours) and not self.prefixes.marker_count

    def shared_write(self, *, at_s: int) -> Shared | None:
        """Return the longest part that is going to be written, and that other calls may want as well.

        The end of a prompt is its own; so it counts only where nothing else is written, for those who ask
        the same thing many times.
        """
        read = self.plan.read.tokens if self.plan.read else 0.0
        new = [marker for marker in self.plan.markers if marker.view.tokens > read and not marker.view.live_s]
        wanted = [marker for marker in new if marker.view.spot.kin != TAIL] or new
        if not wanted:
            return None
        last = max(wanted, key=lambda marker: marker.view.tokens)
        hour = last.ttl == "1h"
        spot, lives_s = last.view.spot, ONE_HOUR_S if hour else FIVE_MINUTES_S
        return Shared(digest=spot.digest, kin=spot.kin, until_s=at_s + lives_s, one_hour=hour)

    def changes(self, request: ModelRequest) -> dict[str, Member]:
        """Return the members of the body that change."""
        return mark(request, self.plan.ours) if self.plan.ours else {}


def plan_prompt(
    prefixes: Prefixes,
    model: Model,
    rates: Rates,
    known: Known,
    *,
    input_tokens: int,
    now_s: int,
    batch: bool = False,
) -> Marking:
    """Return the breakpoints of a prompt on a model; `input_tokens` is what it is expected to have there."""
    views = weigh_spots(prefixes, known.states, known.kin, input_tokens=input_tokens, now_s=now_s)
    ratios = ratios_of(rates)
    plan = plan_markers(
        views,
        ratios,
        min_tokens=model.min_cacheable_tokens,
        input_tokens=input_tokens,
        marker_count=prefixes.marker_count,
        batch=batch,
    )
    return Marking(
        model=model,
        prefixes=prefixes,
        views=views,
        plan=plan,
        ratios=ratios,
        input_pico_usd=rates.input_pico_usd,
    )


def words(marker: Marker) -> str:
    """Say where a breakpoint is, what it keeps, and why."""
    view, hour = marker.view, marker.ttl == "1h"
    odds, time = (view.odds.within_1h, "an hour") if hour else (view.odds.within_5m, "5 minutes")
    return f"{place_of(view.spot)}, about {view.tokens:.0f} tokens: {odds:.0%} to come again within {time}"


def place_of(spot: Spot) -> str:
    """Say where a spot is."""
    if spot.kin == TOOLS:
        return "after the tools"
    if spot.member == "system":
        return "after the system prompt" if spot.block < 0 else f"after system block {spot.at + 1}"
    return "at the end of the prompt" if spot.kin == TAIL else f"after message {spot.at + 1}"
