from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.config import load_catalog_files
from costsvc.core.constraints import needs_of
from costsvc.core.pricing import price
from costsvc.core.prompt_cache import Prefix
from costsvc.core.prospect import Prospect, cost_range, foresee, hold_for
from costsvc.core.request import ModelRequest, read_messages_json
from costsvc.core.tokens import Expectation, estimate_input, measure
from costsvc.core.usage import Usage

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
CATALOG = load_catalog_files()
MODEL = CATALOG.resolve("claude-opus-5-5")
ASK = {"role": "user", "content": "Why? " * 1_000}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
DOCUMENT = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
READS, WRITES = Expectation(1_000, 1_200), Expectation(100, 300)


def prospect(**members: Any) -> Prospect:
    """Return the prospect of a request with these members and at most 500 tokens of answer."""
    body = json.dumps({"messages": [ASK]} | members).encode()
    request = ModelRequest(members=read_messages_json(body))
    content, needs = measure(request.body), needs_of(request, 500)
    return foresee(request, MODEL, content=content, reads=READS, writes=WRITES, needs=needs, ours=Prefix())


def cost(usage: Usage, **how: bool) -> int:
    """Return what a usage costs."""
    return price(CATALOG, MODEL.id, usage, at=AT, **how).nano_usd


def test_q_is_the_upper_and_w_the_worst_estimate() -> None:
    """One function makes both, so that what is announced is what is held."""
    asked = prospect(system=[{"type": "text", "text": "x" * 9_000, "cache_control": {"type": "ephemeral"}}])
    for batch in (False, True):
        announced = cost_range(CATALOG, asked, at=AT, batch=batch, warm=False)
        held = hold_for(CATALOG, asked, at=AT, batch=batch)
        assert (held.q_nano_usd, held.w_nano_usd) == (announced.upper, announced.worst)


def test_q_is_priced_as_likely_and_w_as_dearest() -> None:
    """A workspace may answer in the US where the request does not say."""
    held, bound = hold_for(CATALOG, prospect(), at=AT), prospect().input_tokens.worst
    assert held.q_nano_usd == cost(Usage(input_tokens=1_200, output_tokens=300))
    assert held.w_nano_usd == cost(Usage(input_tokens=bound, output_tokens=500), geo_us=True)
    elsewhere = hold_for(CATALOG, prospect(inference_geo="global"), at=AT)
    assert elsewhere.w_nano_usd == cost(Usage(input_tokens=bound, output_tokens=500))
    american = hold_for(CATALOG, prospect(inference_geo="us"), at=AT)
    assert american.q_nano_usd == cost(Usage(input_tokens=1_200, output_tokens=300), geo_us=True)


def test_a_search_holds_its_fee_and_a_window_for_each_reading() -> None:
    """Before, between and after the searches the whole context may be read, and an answer written."""
    held = hold_for(CATALOG, prospect(tools=[{**SEARCH, "max_uses": 3}]), at=AT)
    most = Usage(input_tokens=5 * MODEL.context_tokens, output_tokens=5 * 500, web_search_count=3)
    assert held.w_nano_usd == cost(most, geo_us=True)
    assert held.q_nano_usd == cost(Usage(input_tokens=1_200, output_tokens=300, web_search_count=3))


def test_a_document_behind_a_url_is_read_once() -> None:
    """Nobody knows how long it is, but the context window bounds the reading."""
    asked = prospect(messages=[{"role": "user", "content": [DOCUMENT]}])
    assert asked.input_tokens.worst == MODEL.context_tokens
    assert hold_for(CATALOG, asked, at=AT).w_nano_usd == cost(
        Usage(input_tokens=MODEL.context_tokens, output_tokens=500), geo_us=True
    )


@pytest.mark.parametrize("members", [{"tools": [SEARCH]}, {"compaction": {}}, {"container": "c1"}])
def test_what_has_no_bound_has_no_w(members: dict[str, Any]) -> None:
    """The hold says why; the estimate says 0."""
    asked = prospect(**members)
    held = hold_for(CATALOG, asked, at=AT)
    assert held.w_nano_usd is None
    assert held.unbounded
    assert held.q_nano_usd == held.most_nano_usd == cost(Usage(input_tokens=1_200, output_tokens=300))
    assert cost_range(CATALOG, asked, at=AT, batch=False, warm=False).worst == 0
    assert asked.input_tokens.worst == 0


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=2_000)
marks = st.sampled_from([None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])


@given(
    text=texts,
    mark=marks,
    geo=st.sampled_from([None, "us", "global"]),
    model=st.sampled_from(list(CATALOG.models)),
    batch=st.booleans(),
    share=st.floats(0, 1),
    written=st.integers(0, 500),
    kind=st.sampled_from(["input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"]),
)
def test_no_bill_is_above_w(*, text, mark, geo, model, batch, share, written, kind):
    """Whatever share of the bound is read, in any class that the request allows, in any geography."""
    block = {"type": "text", "text": text, **({"cache_control": mark} if mark else {})}
    body = {"messages": [{"role": "user", "content": [block]}], **({"inference_geo": geo} if geo else {})}
    request = ModelRequest(members=read_messages_json(json.dumps(body).encode()))
    found, content = CATALOG.models[model], measure(request.body)
    bound = estimate_input(content, found).bound
    asked = foresee(
        request,
        found,
        content=content,
        reads=Expectation(bound // 3, bound // 2),
        writes=Expectation(100, 300),
        needs=needs_of(request, 500),
        ours=Prefix(),
    )
    held = hold_for(CATALOG, asked, at=AT, batch=batch)
    assert held.w_nano_usd is not None
    assert held.q_nano_usd <= held.w_nano_usd
    allowed = {"input_tokens"}
    if mark and bound >= found.min_cacheable_tokens:
        allowed |= {"cache_write_5m_tokens", *(["cache_write_1h_tokens"] if "ttl" in mark else [])}
    if kind in allowed:
        usage = Usage(**{kind: int(bound * share)}, output_tokens=written)
        bill = price(CATALOG, model, usage, at=AT, batch=batch, geo_us=geo != "global")
        assert bill.nano_usd <= held.w_nano_usd
