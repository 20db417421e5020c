from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest

from costsvc.core.catalog import load_catalog
from costsvc.core.money import PICO_PER_USD
from costsvc.core.pricing import price
from costsvc.core.usage import Usage
from costsvc.data import read_text

CATALOG = load_catalog(read_text("catalog.toml"))
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OPUS_4, SONNET_4, HAIKU_35 = "claude-opus-4-20250514", "claude-sonnet-4-20250514", "claude-3-5-haiku-20241022"

# What an independent price list is known to get wrong or to leave out, each with the reason.
_RETIRED_BATCH = "no batch price for retired models: full price instead of half"
_MISSING = "no such model there"
_OLD_TIER = "still has the tier above 200,000 tokens of a beta that ended on 2026-04-30"
KNOWN_DIFFERENCES = {
    **{
        (model, "batch", length): _RETIRED_BATCH
        for model in (
            "claude-opus-4-1-20250805",
            OPUS_4,
            SONNET_4,
            "claude-3-7-sonnet-20250219",
            HAIKU_35,
            "claude-3-haiku-20240307",
        )
        for length in ("short", "long")
    },
    **{
        (model, mode, length): _MISSING
        for model in ("claude-mythos-5-1", "claude-mythos-5", "claude-mythos-preview")
        for mode in ("standard", "batch", "fast")
        for length in ("short", "long")
    },
    **{("claude-sonnet-4-5-20250929", mode, "long"): _OLD_TIER for mode in ("standard", "batch", "fast")},
}
_CONTEXTS = {"standard": None, "batch": {"processing": "batch"}, "fast": {"speed": "fast"}}
_LENGTHS = {"short": 100_000, "long": 250_001}


def their_pico_usd(model: str, usage: Usage, mode: str) -> Decimal | None:
    """Return the independent price, None where there is none."""
    theirs = genai_prices.Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
    )
    try:
        priced = genai_prices.calc_price(
            theirs,
            model,
            provider_id="anthropic",
            genai_request_timestamp=NOW,
            price_context=_CONTEXTS[mode],
        )
    except LookupError:
        return None
    return priced.total_price * PICO_PER_USD


@pytest.mark.parametrize("model", CATALOG.models)
@pytest.mark.parametrize("mode", _CONTEXTS)
@pytest.mark.parametrize("length", _LENGTHS)
def test_an_independent_price_list_agrees(model: str, mode: str, length: str) -> None:
    """Every current price agrees with genai-prices, but for the reviewed differences, which still differ."""
    usages = [
        Usage(output_tokens=1_000) + Usage(**{f"{name}_tokens": _LENGTHS[length]})
        for name in ("input", "cache_write_5m", "cache_write_1h", "cache_read")
    ]
    agrees = all(
        price(CATALOG, model, usage, at=NOW, batch=mode == "batch", fast=mode == "fast").pico_usd
        == their_pico_usd(model, usage, mode)
        for usage in usages
    )
    assert agrees == ((model, mode, length) not in KNOWN_DIFFERENCES)
