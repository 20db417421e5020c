"""The cheapest arrangement of breakpoints on spots of one prompt: which of them, and for how long each.

Costs are in input tokens at the plain price.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from costsvc.core.odds import Odds
from costsvc.core.prefixes import LOOK_BACK_POSITIONS, Spot
from costsvc.core.reuse import ONE_HOUR_S


class Ratios(NamedTuple):
    """What a token costs in plain input tokens: read, written for 5 minutes, written for an hour."""

    read: float
    write_5m: float
    write_1h: float


class View(NamedTuple):
    """What is known of one spot: tokens up to it, its odds, and the time of its live entry, 0 without."""

    spot: Spot
    tokens: float
    live_s: int
    odds: Odds
    is_known: bool


class Option(NamedTuple):
    """A spot that may be marked, and what a live entry there is worth to later calls, per token.

    `soon` if it lives for 5 minutes, `hour` if it lives for an hour; `between` is what an hour-long entry
    adds to those below it that live for 5 minutes. `ttl` is that of the caller's own breakpoint.
    """

    view: View
    position: int
    tokens: float
    live_s: int
    soon: float
    between: float
    ttl: str


class Outcome(NamedTuple):
    """Breakpoints with their times: what the prompt costs, and what they save later."""

    chain: tuple[Option, ...]
    ttls: tuple[str, ...]
    read: Option | None
    cost: float
    later: float

    @property
    def net(self) -> float:
        """What remains of the cost when later calls have had their part."""
        return self.cost - self.later


class Case:
    """One prompt on one model: what is live, and what things cost."""

    def __init__(self, lives: Sequence[Option], ratios: Ratios, total: float, batch: bool) -> None:
        self.lives = lives
        self.ratios = ratios
        self._total = total
        self._batch = batch

    def improve(self, best: Outcome, wanted: Sequence[Option], free: int) -> Outcome:
        """Return the cheapest arrangement of the caller's own with at most `free` of what is wanted.

        One at a time, what is missed least is dropped.
        """
        own, ours = best.chain, list(wanted)
        found = self.arrange((*own, *ours)) if ours else best
        while ours:
            fewer = [
                (self.arrange((*own, *ours[:at], *ours[at + 1 :])), at)
                for at, option in enumerate(ours)
                if len(ours) > free or not option.live_s
            ]
            kept = [(outcome.net, at, outcome) for outcome, at in fewer if outcome is not None]
            if not kept:
                break
            net, at, outcome = min(kept)
            if len(ours) <= free and found is not None and found.net < net:
                break
            found = outcome
            del ours[at]
        return best if found is None or len(ours) > free else found

    def arrange(self, chosen: Sequence[Option]) -> Outcome | None:
        """Return the cheapest times for breakpoints, an hour before 5 minutes; None where there are none."""
        chain = tuple(sorted(chosen, key=_in_prompt_order))
        count = len(chain)
        best: Outcome | None = None
        for hours in range(count, -1, -1) if self._batch else range(count + 1):
            ttls = ("1h",) * hours + ("5m",) * (count - hours)
            if any(option.ttl not in {"", ttl} for option, ttl in zip(chain, ttls, strict=True)):
                continue
            outcome = self._weigh(chain, ttls)
            if best is None or outcome.net < best.net:
                best = outcome
            if self._batch:
                break
        return best

    def _weigh(self, chain: tuple[Option, ...], ttls: tuple[str, ...]) -> Outcome:
        read = self._read(chain)
        ratios = self.ratios
        done = read.tokens if read else 0.0
        cost = ratios.read * done
        kept = [
            (option, option.live_s == ONE_HOUR_S)
            for option in chain
            if option.live_s and option.tokens < done
        ]
        if read:
            kept.append((read, read.live_s == ONE_HOUR_S))
        for option, ttl in zip(chain, ttls, strict=True):
            if option.tokens > done:
                cost += (option.tokens - done) * (ratios.write_1h if ttl == "1h" else ratios.write_5m)
                done = option.tokens
                kept.append((option, ttl == "1h"))
        return Outcome(chain, ttls, read, cost + self._total - done, _later(kept))

    def _read(self, chain: Sequence[Option]) -> Option | None:
        """Return the longest live entry that some breakpoint finds."""
        for live in reversed(self.lives):
            for option in chain:
                if 0 <= option.position - live.position < LOOK_BACK_POSITIONS:
                    return live
        return None


def _later(kept: Sequence[tuple[Option, bool]]) -> float:
    """Return what entries save later calls: each its own segment, and for an hour all that is below it."""
    later = between = 0.0
    for at in reversed(range(len(kept))):
        option, is_hour = kept[at]
        segment = option.tokens - (kept[at - 1][0].tokens if at else 0.0)
        if is_hour:
            between = option.between
            later += segment * (option.soon + between)
        else:
            later += segment * (option.soon + between)
    return later


def _in_prompt_order(option: Option) -> float:
    return option.tokens
