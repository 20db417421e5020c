"""What a fitted score says of one request, and whether it has been shown to be worth following.

A score serves only where, on outcomes that it was not fitted to, it was cheaper than the best blind mix of
tiers at the same quality. Until then it says what it would have chosen, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise

from costsvc.core.features import Features, features
from costsvc.core.request import Tier
from costsvc.core.scoring import Gain, Scale, Weights, gains

MIN_EXAMPLES = 300
"""With fewer outcomes that know every tier, nothing is claimed."""

FLOOR_TOLERANCE = 0.01
"""How far held-out quality may fall below the floor: about the noise of a mean over some hundred outcomes."""

_MAIN_TERMS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """What a choice of tiers came to; costs are shares of always taking the dearest tier.

    `mix_cost_share` is what the cheapest mix of single tiers costs at the same quality.
    """

    quality: float
    cost_share: float
    mix_cost_share: float

    @property
    def advantage(self) -> float:
        """What the choice saves over the mix, as a share; negative where it loses."""
        return self.mix_cost_share - self.cost_share


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What routing by the score would have done with outcomes that it was not fitted to.

    `quality_floor` is the share of the best tier's quality that was to be kept; `advantage_lower` is a
    one-sided 95 % bound; `price` is the quality that a call at the dearest tier's cost must gain to be sent
    there.
    """

    example_count: int
    quality_floor: float
    best_quality: float
    routed: Routed
    advantage_lower: float
    price: float

    @property
    def quality_kept(self) -> float:
        """The share of the best tier's quality that was kept."""
        return self.routed.quality / self.best_quality if self.best_quality else 1.0

    @property
    def holds(self) -> bool:
        """Whether the score may serve."""
        return not self.why_not

    @property
    def why_not(self) -> str:
        """Why the score may not serve, "" where it may."""
        if self.example_count < MIN_EXAMPLES:
            return too_few(self.example_count)
        if self.quality_kept < self.quality_floor - FLOOR_TOLERANCE:
            kept, floor = f"{self.quality_kept:.1%}", f"{self.quality_floor:.1%}"
            return f"it would keep {kept} of the best tier's quality, not {floor}"
        if self.advantage_lower <= 0:
            return f"lower bound of its advantage over the best mix of tiers: {self.advantage_lower:.1%}"
        return ""


def too_few(count: int) -> str:
    """Say that a number of outcomes proves nothing."""
    return f"too few outcomes that know every tier: {count} of {MIN_EXAMPLES}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A score fitted to the outcomes of a tenant's task; `proof` is None where they were too few for one.

    `models` answered for the tiers, lowest first; `cost_shares` are what they cost for a call of so many
    tokens, as shares of the dearest. `outcome_count` outcomes were read.
    """

    weights: Weights
    proof: Proof | None
    models: tuple[str, ...]
    cost_shares: tuple[float, ...]
    mean_input_tokens: int
    mean_output_tokens: int
    outcome_count: int
    fitted_at: datetime

    def why_not(self, models: Sequence[str]) -> str:
        """Return why the score does not serve where these models answer for the tiers, "" where it does."""
        if tuple(models) != self.models:
            return f"fitted for {', '.join(self.models)}; the policy now has {', '.join(models)}"
        return too_few(0) if self.proof is None else self.proof.why_not


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a fit says of one request; `shadow` says why it does not decide, "" where it does."""

    fit: Fit
    found: Features
    gains: tuple[Gain, ...]
    shadow: str

    @property
    def state(self) -> str:
        """Whether the score decides, in a word: `serving`, else `shadow`."""
        return "shadow" if self.shadow else "serving"

    def tier(self, lowest: Tier, highest: Tier) -> Tier:
        """Return the tier that is worth its cost, within bounds."""
        price = self.fit.proof.price if self.fit.proof else 0.0
        worth = worth_of(gain.total for gain in self.gains)[lowest - 1 : highest]
        return Tier(lowest + best(worth, self.fit.cost_shares[lowest - 1 : highest], price))

    def words(self, tier: Tier) -> str:
        """Say why a tier is chosen: the gains of each over the one below, and what the nearest comes from."""
        steps = ", ".join(
            f"{above.label} over {below.label} {gain.total:+.2f}"
            for (below, above), gain in zip(pairwise(Tier), self.gains, strict=True)
        )
        terms = self.gains[min(tier, Tier.MEDIUM) - 1].main_terms(_MAIN_TERMS)
        return f"{tier.label}: expected {steps} ({', '.join(f'{t.name} {t.amount:+.2f}' for t in terms)})"


def score_of(text: str, fit: Fit, scale: Scale, *, models: Sequence[str]) -> Score:
    """Return what a fit says of a text, where these models answer for the tiers."""
    found = features(text)
    return Score(fit=fit, found=found, gains=gains(fit.weights, scale, found), shadow=fit.why_not(models))


def worth_of(gained: Iterable[float]) -> tuple[float, ...]:
    """Return what each tier is worth over the lowest, from what each gains over the one below."""
    return tuple(accumulate(gained, initial=0.0))


def best(worth: Sequence[float], costs: Sequence[float], price: float) -> int:
    """Return the first index whose worth, less its cost at a price, is greatest."""
    net = [value - price * cost for value, cost in zip(worth, costs, strict=True)]
    return net.index(max(net))
