"""What the provider charges: its own rate card, typed in its own layout, in integer pico-USD per token.

One US dollar per million tokens is 1,000,000 pico-USD per token. Cache prices are ratios of the input price.
Nothing here is shared with the service's catalogue: two rate cards that agree are evidence, one is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

PICO_PER_USD = 10**12
WEB_SEARCH_PICO = PICO_PER_USD // 100  # $10 per 1,000 searches; no batch discount is stated
SONNET_5_5_READ_CUT_S = 1_791_331_200  # 2026-10-07T00:00:00Z: cache reads went from 0.1 to 0.05 of input

# model | input and output in USD per million tokens | cache read ratio | extras:
#   fast  sold at twice the price     us  inference_geo "us" is sold at 1.1
_CARD = """
claude-fable-5-2            8     40    1/40  fast us
claude-mythos-5-2           8     40    1/40  fast us
claude-fable-5-1            10    50    1/40  us
claude-mythos-5-1           10    50    1/40  us
claude-fable-5              10    50    1/10  us
claude-mythos-5             10    50    1/10  us
claude-mythos-preview       10    50    1/10  us
claude-opus-5-5             4     20    1/20  fast us
claude-opus-5               5     25    1/10  fast us
claude-opus-4-8             5     25    1/10  fast us
claude-opus-4-7             5     25    1/10  us
claude-opus-4-6             5     25    1/10  us
claude-opus-4-5-20251101    5     25    1/10
claude-opus-4-1-20250805    15    75    1/10
claude-opus-4-20250514      15    75    1/10
claude-sonnet-5-5           2     10    1/20  us
claude-sonnet-5             2     10    1/10  us
claude-sonnet-4-6           3     15    1/10  us
claude-sonnet-4-5-20250929  3     15    1/10
claude-sonnet-4-20250514    3     15    1/10
claude-3-7-sonnet-20250219  3     15    1/10
claude-haiku-5-5            0.1   0.5   1/10  us
claude-haiku-4-5-20251001   1     5     1/10
claude-3-5-haiku-20241022   0.8   4     1/10
claude-3-haiku-20240307     0.25  1.25  3/25
"""
LONG_PROMPT_TOKENS = 100_000  # Haiku 5.5: above this, every token of the request costs five times as much
LONG_PROMPT_FACTOR = {"claude-haiku-5-5": 5}
_WRITE_5M_RATIO = {"claude-3-haiku-20240307": Fraction(6, 5)}


@dataclass(frozen=True, slots=True)
class Rate:
    """The base prices of one model."""

    input_pico: Fraction
    output_pico: Fraction
    read_ratio: Fraction
    write_5m_ratio: Fraction
    sells: frozenset[str] = field(default_factory=frozenset)


@dataclass(slots=True)
class Metered:
    """The tokens of one call by price class; the classes do not overlap. Thinking is part of `output`."""

    input: int = 0
    write_5m: int = 0
    write_1h: int = 0
    read: int = 0
    output: int = 0
    thinking: int = 0
    web_searches: int = 0

    @property
    def prompt(self) -> int:
        """The whole prompt: uncached, written and read."""
        return self.input + self.write_5m + self.write_1h + self.read


def _parse(line: str) -> tuple[str, Rate]:
    model, in_usd, out_usd, read, *extras = line.split()
    return model, Rate(
        Fraction(in_usd) * 10**6,
        Fraction(out_usd) * 10**6,
        Fraction(read),
        _WRITE_5M_RATIO.get(model, Fraction(5, 4)),
        frozenset(extras),
    )


RATES = dict(_parse(line) for line in _CARD.strip().splitlines())


@cache
def _token_prices(model: str, terms: frozenset[str]) -> tuple[int, int, int, int, int]:
    """Return exact pico-USD per token: input, 5-minute write, 1-hour write, read, output."""
    rate = RATES[model]
    factor = Fraction(1)
    factor *= Fraction(1, 2) if "batch" in terms else 1
    factor *= 2 if "fast" in terms else 1
    factor *= Fraction(11, 10) if "us" in terms else 1
    factor *= LONG_PROMPT_FACTOR.get(model, 1) if "long" in terms else 1
    read_ratio = Fraction(1, 10) if "old-read" in terms else rate.read_ratio
    base = rate.input_pico
    prices = (base, base * rate.write_5m_ratio, base * 2, base * read_ratio, rate.output_pico)
    exact = [price * factor for price in prices]
    assert all(price.denominator == 1 for price in exact), model
    i, w5, w1, r, o = (int(price) for price in exact)
    return i, w5, w1, r, o


def charge_pico(model: str, used: Metered, terms: frozenset[str], at_s: float) -> int:
    """Return what a call costs; `terms` are any of batch, fast and us, as answered rather than as asked."""
    if used.prompt > LONG_PROMPT_TOKENS and model in LONG_PROMPT_FACTOR:
        terms |= {"long"}
    if model == "claude-sonnet-5-5" and at_s < SONNET_5_5_READ_CUT_S:
        terms |= {"old-read"}
    i, w5, w1, r, o = _token_prices(model, terms)
    tokens_pico = used.input * i + used.write_5m * w5 + used.write_1h * w1 + used.read * r + used.output * o
    return tokens_pico + used.web_searches * WEB_SEARCH_PICO
