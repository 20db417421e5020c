from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.money import NANO_PER_USD, ceil_nano, format_usd, pico_per_token


@given(st.integers(min_value=0, max_value=10**24))
def test_rounding_up_covers_the_amount_by_less_than_a_nano(amount_pico_usd: int) -> None:
    """A rounded amount covers the exact one and exceeds it by less than one nano-USD."""
    assert 0 <= ceil_nano(amount_pico_usd) * 1000 - amount_pico_usd < 1000


@given(st.integers(min_value=0, max_value=10**12))
def test_prices_convert_exactly(pico: int) -> None:
    """Every price that is a whole number of pico-USD a token is read without loss."""
    assert pico_per_token(str(Decimal(pico) / 1_000_000)) == pico


@pytest.mark.parametrize("text", ["", "free", "-1", "NaN", "Infinity", "0.0000001"])
def test_bad_prices_are_refused(text: str) -> None:
    """What is no price, or finer than a pico-USD a token, is an error and never zero."""
    with pytest.raises(ValueError, match=r"price|decimal|finer"):
        pico_per_token(text)


@pytest.mark.parametrize(
    ("amount_nano_usd", "text"),
    [
        (0, "$0.00"),
        (13_500_000, "$0.0135"),
        (135 * NANO_PER_USD, "$135.00"),
        (-1, "-$0.000000001"),
        (1_234_567_500_000_000, "$1,234,567.50"),
    ],
)
def test_amounts_read_well_and_lose_nothing(amount_nano_usd: int, text: str) -> None:
    """An amount is shown exactly, with at least two decimals."""
    assert format_usd(amount_nano_usd) == text
