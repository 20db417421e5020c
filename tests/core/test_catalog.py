from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.catalog import Catalog, CatalogError, load_catalog
from costsvc.core.errors import UnknownModel
from costsvc.core.pricing import price
from costsvc.core.usage import Usage
from costsvc.data import read_text

BASE = read_text("catalog.toml")
CATALOG = load_catalog(BASE)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
HEAD = 'schema = "costsvc/catalog/1"\n'
PRICES = '{ input = "3", output = "15", cache_write_5m = "3.75", cache_write_1h = "6", cache_read = "0.3" }'
ROW = f"""
[[model]]
id = "house-1"
name = "House 1"
aliases = ["house"]
line = "sonnet"
status = "active"
context_tokens = 200_000
max_output_tokens = 64_000
min_cacheable_tokens = 1024
tokenizer = "v2"
capabilities = {{ thinking = [], forced_tool_choice = true, assistant_prefill = true, sampling = "any", \
structured_output = false }}
prices = [{PRICES}]
source = "contract"
checked_on = 2026-11-22
confidence = "high"
"""


def overlaid(text: str) -> Catalog:
    """Return the base catalogue with one overlay."""
    return load_catalog(BASE, [("mine.toml", HEAD + text)])


def input_pico_usd(catalog: Catalog, model: str, at: datetime = NOW) -> int:
    """Return the price of an input token."""
    return price(catalog, model, Usage(input_tokens=1), at=at).pico_usd


def test_the_base_catalogue_is_complete() -> None:
    """Every model is there, with its source, a date checked, and a replacement that exists."""
    assert len(CATALOG.models) == 25
    for model in CATALOG.models.values():
        assert model.source
        assert model.checked_on >= date(2026, 10, 10)
        assert not model.replacement or model.replacement in CATALOG.models
        assert model.retires_on or model.status not in {"deprecated", "retired"}


def test_aliases_resolve_exactly() -> None:
    """An alias names one model; the beginning of a name names none."""
    assert CATALOG.resolve("claude-sonnet-4-5").id == "claude-sonnet-4-5-20250929"
    assert CATALOG.resolve("claude-3-5-haiku-latest").id == "claude-3-5-haiku-20241022"
    assert CATALOG.resolve("claude-opus-5").id == "claude-opus-5"
    with pytest.raises(UnknownModel):
        CATALOG.resolve("claude-opus-5-5-2")


@given(st.sampled_from(sorted(CATALOG.names)), st.text(min_size=1, max_size=3))
def test_no_name_is_resolved_by_its_beginning(name: str, more: str) -> None:
    """A known name with anything after it is another name, or none."""
    if name + more in CATALOG.names:
        return
    with pytest.raises(UnknownModel):
        CATALOG.resolve(name + more)


def test_capabilities_are_data() -> None:
    """What a router must know of a model can be read off it."""
    opus, sonnet = CATALOG.resolve("claude-opus-5-5"), CATALOG.resolve("claude-sonnet-5-5")
    assert opus.capabilities.thinking_always
    assert not opus.capabilities.forced_tool_choice
    assert opus.capabilities.default_effort == "medium"
    assert sonnet.capabilities.thinking == ("adaptive", "between_tools")
    assert CATALOG.resolve("claude-haiku-4-5").capabilities.thinking == ("enabled", "disabled")
    assert not CATALOG.resolve("claude-opus-4-5").capabilities.inference_geo
    assert CATALOG.resolve("claude-opus-4-8").capabilities.fast_before == date(2026, 11, 30)


@pytest.mark.parametrize(
    ("name", "day", "is_callable"),
    [
        ("claude-opus-5-5", date(2026, 11, 22), True),
        ("claude-sonnet-4-5", date(2026, 11, 29), True),
        ("claude-sonnet-4-5", date(2026, 11, 30), False),
        ("claude-opus-4-0", date(2026, 1, 1), False),
    ],
)
def test_models_end_on_their_day(name: str, day: date, is_callable: bool) -> None:
    """A retired model answers no more, a deprecated one until its day."""
    assert CATALOG.resolve(name).callable_on(day) is is_callable


def test_an_overlay_adds_a_model() -> None:
    """A new row is found by its id and its alias, and changes the hash."""
    catalog = overlaid(ROW)
    assert catalog.resolve("house").id == "house-1"
    assert input_pico_usd(catalog, "house") == 3_000_000
    assert len(catalog.models) == 26
    assert catalog.hash != CATALOG.hash


def test_an_overlay_replaces_a_whole_row() -> None:
    """A row of a known id stands for the old one."""
    catalog = overlaid(ROW.replace("house-1", "claude-opus-5-5"))
    assert input_pico_usd(catalog, "claude-opus-5-5") == 3_000_000
    assert not catalog.resolve("claude-opus-5-5").capabilities.thinking_always


def test_a_discount_is_exact_and_leaves_fees_alone() -> None:
    """Ten percent off the tokens of one model, in every mode; searches stay as they are."""
    catalog = overlaid('[[discount]]\nmodels = ["claude-opus-5-5"]\npercent = "10"\n')
    usage = Usage(input_tokens=10, cache_read_tokens=10, output_tokens=10, web_search_count=1)
    for flags in ({}, {"batch": True}, {"fast": True, "geo_us": True}):
        full = price(CATALOG, "claude-opus-5-5", usage, at=NOW, **flags)
        less = price(catalog, "claude-opus-5-5", usage, at=NOW, **flags)
        assert less.server_tools_pico_usd == full.server_tools_pico_usd
        tokens_pico_usd = full.pico_usd - full.server_tools_pico_usd
        assert 10 * (less.pico_usd - less.server_tools_pico_usd) == 9 * tokens_pico_usd
    assert input_pico_usd(catalog, "claude-opus-5") == input_pico_usd(CATALOG, "claude-opus-5")


def test_a_discount_holds_for_its_days() -> None:
    """A contract begins and ends at midnight UTC."""
    catalog = overlaid(
        '[[discount]]\nmodels = ["*"]\npercent = "20"\nfrom = 2026-12-01\nbefore = 2027-01-01\n'
    )
    days = [
        datetime(2026, 11, 30, 23, 59, tzinfo=UTC),
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    ]
    assert [input_pico_usd(catalog, "claude-opus-5-5", day) for day in days] == [
        4_000_000,
        3_200_000,
        4_000_000,
    ]


def test_the_hash_goes_by_content() -> None:
    """Comments and layout do not change it; a price, a rule or a discount does."""
    assert load_catalog("# a comment\n" + BASE).hash == CATALOG.hash
    assert load_catalog(BASE, [("empty.toml", HEAD)]).hash == CATALOG.hash
    assert load_catalog(BASE.replace('input = "4"', 'input = "4.1"')).hash != CATALOG.hash
    assert overlaid('[rules]\nweb_search_usd_per_1000 = "9"\n').hash != CATALOG.hash


def test_the_table_lists_every_price_that_holds_some_time() -> None:
    """One plain row a model, period and prompt length."""
    rows = CATALOG.table()
    haiku = [row for row in rows if row["model"] == "claude-haiku-5-5"]
    assert [(row["prompt_tokens_over"], row["input"]) for row in haiku] == [("0", "0.1"), ("100000", "0.5")]
    sonnet = [(row["from"], row["cache_read"]) for row in rows if row["model"] == "claude-sonnet-5-5"]
    assert sonnet == [("", "0.2"), ("2026-10-07", "0.1")]


def test_a_snapshot_cannot_be_changed() -> None:
    """Neither the catalogue nor a model takes a new value."""
    with pytest.raises(AttributeError):
        CATALOG.hash = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        CATALOG.models["x"] = CATALOG.resolve("claude-opus-5")  # type: ignore[index]


BROKEN = {
    "not toml": ("[[model", "", "", "is not TOML"),
    "other schema": ('schema = "costsvc/catalog/2"', "", "schema", "must be"),
    "no schema": ("[rules]", "", "schema", "is missing"),
    "unknown table": (HEAD + "[extra]\na = 1", "", "extra", "not a known field"),
    "unknown rule": (HEAD + '[rules]\nhalf = "1"', "rules", "half", "not a known field"),
    "missing field": (HEAD + ROW.replace('line = "sonnet"', ""), "model house-1", "line", "is missing"),
    "mistyped field": (HEAD + ROW.replace("source", "sauce"), "model house-1", "source", "is missing"),
    "extra field": (HEAD + ROW + 'colour = "red"', "model house-1", "colour", "not a known field"),
    "wrong type": (
        HEAD + ROW.replace("200_000", '"many"'),
        "model house-1",
        "context_tokens",
        "whole number",
    ),
    "bool as number": (
        HEAD + ROW.replace("200_000", "true"),
        "model house-1",
        "context_tokens",
        "whole number",
    ),
    "negative": (HEAD + ROW.replace("200_000", "-1"), "model house-1", "context_tokens", "negative"),
    "bad status": (
        HEAD + ROW.replace('"active"', '"alive"'),
        "model house-1",
        "status",
        "'alive' is none of",
    ),
    "bad tokenizer": (HEAD + ROW.replace('"v2"', '"v9"'), "model house-1", "tokenizer", "'v9' is none of"),
    "taken alias": (
        HEAD + ROW.replace('["house"]', '["claude-opus-5"]'),
        "model house-1",
        "aliases",
        "already",
    ),
    "twice": (HEAD + ROW + ROW, "model[2]", "id", "twice"),
    "float price": (
        HEAD + ROW.replace('"0.3"', "0.3"),
        "model house-1.prices[1]",
        "cache_read",
        "must be a string",
    ),
    "fine price": (
        HEAD + ROW.replace('"0.3"', '"0.0000001"'),
        "model house-1.prices[1]",
        "cache_read",
        "finer",
    ),
    "half a pico": (
        HEAD + ROW.replace('"0.3"', '"0.000001"'),
        "model house-1",
        "prices",
        "finer than a pico",
    ),
    "no price": (HEAD + ROW.replace(PRICES, ""), "model house-1", "prices", "no row for short prompts"),
    "two prices": (
        HEAD + ROW.replace(PRICES, f"{PRICES}, {PRICES}"),
        "model house-1",
        "prices",
        "two rows hold",
    ),
    "late price": (
        HEAD + ROW.replace("{ input", "{ from = 2026-01-01, input"),
        "model house-1",
        "prices",
        "leave `from` out",
    ),
    "backwards": (
        HEAD + ROW.replace("{ input", "{ from = 2026-02-01, before = 2026-01-01, input"),
        "model house-1.prices[1]",
        "before",
        "later than from",
    ),
    "date with time": (
        HEAD + ROW.replace("checked_on = 2026-11-22", "checked_on = 2026-11-22T00:00:00Z"),
        "model house-1",
        "checked_on",
        "without a time",
    ),
    "discount on nothing": (
        HEAD + '[[discount]]\nmodels = ["opus"]\npercent = "5"',
        "discount[1]",
        "models",
        "'opus'",
    ),
    "discount too large": (
        HEAD + '[[discount]]\nmodels = ["*"]\npercent = "101"',
        "discount[1]",
        "percent",
        "above 100",
    ),
    "inexact discount": (
        HEAD + '[[discount]]\nmodels = ["claude-haiku-5-5"]\npercent = "12.34567"',
        "discount[1]",
        "percent",
        "finer than a pico",
    ),
    "two discounts": (
        HEAD
        + '[[discount]]\nmodels = ["*"]\npercent = "5"\n'
        + '[[discount]]\nmodels = ["claude-opus-5"]\npercent = "5"',
        "discount[2]",
        "models",
        r"overlaps with discount\[1\]",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_every_mistake_names_its_place(case: str) -> None:
    """An overlay that cannot be used says in which file, table and field, and why."""
    text, table, field, problem = BROKEN[case]
    with pytest.raises(CatalogError, match=problem) as caught:
        load_catalog(BASE, [("mine.toml", text)])
    assert (caught.value.file, caught.value.table, caught.value.field) == ("mine.toml", table, field)
