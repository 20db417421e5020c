from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.provider_sim.rates import RATES, Metered, charge_pico

NOVEMBER_S = 1_795_000_000
counts = st.integers(0, 2_000_000)


def usd(model: str, *terms: str, at_s: float = NOVEMBER_S, **used: int) -> float:
    """Return a price in dollars, for figures that a float holds."""
    return charge_pico(model, Metered(**used), frozenset(terms), at_s) / 10**12


def test_every_class_of_token_has_its_price() -> None:
    """A call with all classes and a web search costs what hand calculation says."""
    cost = charge_pico(
        "claude-opus-5-5",
        Metered(input=50, read=100_000, write_5m=148, write_1h=100, output=503, web_searches=1),
        frozenset(),
        NOVEMBER_S,
    )
    assert cost == 41_800_000_000


@pytest.mark.parametrize(("prompt", "cost"), [(100_000, 0.0105), (100_001, 0.0525005)])
def test_long_prompts_cost_five_times_as_much(prompt: int, cost: float) -> None:
    """One token more than 100,000 reprices the whole request."""
    assert usd("claude-haiku-5-5", input=prompt, output=1000) == cost


def test_the_threshold_counts_cached_tokens() -> None:
    """Reads and writes belong to the length of the prompt."""
    assert usd("claude-haiku-5-5", read=100_000, write_5m=1) == pytest.approx(100_000 * 0.05e-6 + 0.625e-6)


def test_the_smallest_price_is_exact() -> None:
    """One cached token in a batch in the US is 5,500 pico-USD."""
    assert charge_pico("claude-haiku-5-5", Metered(read=1), frozenset({"batch", "us"}), NOVEMBER_S) == 5_500


@pytest.mark.parametrize(
    ("model", "used", "cost"),
    [
        ("claude-sonnet-4-5-20250929", {"input": 1000, "output": 100}, 0.0045),
        ("claude-3-haiku-20240307", {"write_5m": 10**6}, 0.30),
        ("claude-fable-5-1", {"read": 10**6}, 0.25),
        ("claude-fable-5-2", {"write_1h": 10**6}, 16),
        ("claude-opus-5", {"read": 10**6, "output": 10**6}, 25.5),
    ],
)
def test_models_have_their_own_ratios(model: str, used: dict[str, int], cost: float) -> None:
    """Cache prices are not the same fraction of input everywhere."""
    assert usd(model, **used) == cost


def test_sonnet_5_5_reads_were_dearer_before_october_7() -> None:
    """The rate is the one of the day of the call."""
    assert usd("claude-sonnet-5-5", read=10**6, at_s=1_791_331_199) == 0.2
    assert usd("claude-sonnet-5-5", read=10**6, at_s=1_791_331_200) == 0.1


@given(model=st.sampled_from(sorted(RATES)), tokens=st.tuples(*[counts] * 5))
def test_a_batch_costs_exactly_half(model: str, tokens: tuple[int, ...]) -> None:
    """Halving is exact in pico-USD for every model and class."""
    used = Metered(*tokens)
    full = charge_pico(model, used, frozenset(), NOVEMBER_S)
    assert 2 * charge_pico(model, used, frozenset({"batch"}), NOVEMBER_S) == full


@given(model=st.sampled_from(sorted(RATES)), tokens=st.tuples(*[counts] * 5))
def test_the_us_surcharge_is_exactly_a_tenth(model: str, tokens: tuple[int, ...]) -> None:
    """Geography multiplies every class, and stacks with batch."""
    used = Metered(*tokens)
    batch = charge_pico(model, used, frozenset({"batch"}), NOVEMBER_S)
    assert 10 * charge_pico(model, used, frozenset({"batch", "us"}), NOVEMBER_S) == 11 * batch
