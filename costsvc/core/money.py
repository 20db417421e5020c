"""Money as integers: pico-USD where prices multiply, nano-USD where amounts are kept.

Every per-token price of the provider, also at half price or with a 10 % surcharge, is a whole number of
pico-USD (1e-12). Amounts are stored and sent in nano-USD (1e-9): `int64` then holds nine billion dollars.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

PICO_PER_NANO = 1_000
NANO_PER_USD = 1_000_000_000
PICO_PER_USD = PICO_PER_NANO * NANO_PER_USD


def ceil_nano(amount_pico_usd: int) -> int:
    """Return the smallest whole nano-USD amount that covers a pico-USD amount."""
    return -(-amount_pico_usd // PICO_PER_NANO)


def pico_per_token(price_usd_per_mtok: str) -> int:
    """Return the pico-USD price of one token from a decimal string in USD per million tokens.

    Raises:
        ValueError: not a finite non-negative decimal, or finer than one pico-USD a token.
    """
    try:
        price = Decimal(price_usd_per_mtok)
    except InvalidOperation as error:
        raise ValueError(f"{price_usd_per_mtok!r} is not a decimal number") from error
    if not price.is_finite() or price < 0:
        raise ValueError(f"{price_usd_per_mtok!r} is not a price")
    pico = price * 1_000_000
    if pico != pico.to_integral_value():
        raise ValueError(f"{price_usd_per_mtok} USD per million tokens is finer than a pico-USD a token")
    return int(pico)


def format_usd(amount_nano_usd: int) -> str:
    """Return an exact amount for people: at least two decimals, no trailing zeros beyond them."""
    sign = "-" if amount_nano_usd < 0 else ""
    dollars, nano = divmod(abs(amount_nano_usd), NANO_PER_USD)
    decimals = f"{nano:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}${dollars:,}.{decimals}"
