"""Tests of what operators are told about prompts, against the provider's bill."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from costsvc import v1
from costsvc.config import load_catalog_files

SYSTEM = "You know everything about bicycles, and you say it in one sentence. " * 200
CALLS = 6


async def report(service: Any, tenant: str = "default") -> v1.ReportPromptCacheResponse:
    """Ask about today."""
    request = v1.ReportPromptCacheRequest(tenant=tenant)
    request.start_time.FromDatetime(service.started_at)
    request.end_time.FromDatetime(service.started_at + timedelta(hours=1))
    return await service.admin.ReportPromptCache(request)


async def test_a_timestamp_at_the_top_of_a_prompt_has_its_price(service):
    """What is said to be lost is what the bill has for these tokens, less what reads of them would cost."""
    for n in range(CALLS):
        await service.complete(system=f"Now it is 10:0{n}. {SYSTEM}", task="faq")
    entries = sorted(await service.booked(CALLS), key=lambda entry: entry.started_at)
    found = await report(service)
    [advice] = found.advice
    assert advice.text.startswith("a timestamp in system block 1 defeats caching of what follows it: $0.")
    assert (advice.reason, advice.task) == ("system_changed", "faq")
    [misses] = found.misses
    missed = entries[1:]
    assert misses.miss_count == len(missed)
    prompt_tokens = sum(entry.usage.prompt_tokens for entry in missed)
    assert 0.9 * prompt_tokens < misses.tokens < prompt_tokens
    plain = [entry for entry in missed if entry.usage.prompt_tokens == entry.usage.input_tokens]
    assert len(plain) >= len(missed) - 1
    rates = load_catalog_files().resolve(advice.model).rates(entries[0].started_at, prompt_tokens=4_000)
    least = misses.tokens * (rates.input_pico_usd - rates.cache_read_pico_usd) // 1_000 - len(missed)
    most = misses.tokens * (rates.cache_write_1h_pico_usd - rates.cache_read_pico_usd) // 1_000
    assert least <= misses.lost_nano_usd <= most
    assert misses.lost_nano_usd < sum(entry.cost_nano_usd for entry in missed)
    assert advice.daily_nano_usd == misses.lost_nano_usd
    assert (
        b'costsvc_prompt_cache_misses_total{reason="system_changed"} 5.0'
        in service.running.parts.calls.metrics.text()
    )
    assert not service.lines("prompt_not_explained")


async def test_what_prefixes_saved_is_what_the_ledger_has(service):
    """Prefix by prefix, for the breakpoints of costsvc's and for those of callers; tenants are apart."""
    for n in range(4):
        await service.complete(f"What is part {n}?", system=SYSTEM, task="faq")
    block = {"type": "text", "text": f"Be kind. {SYSTEM}", "cache_control": {"type": "ephemeral"}}
    for n in range(4):
        own = {"max_tokens": 60, "system": [block], "messages": [{"role": "user", "content": f"{n}?"}]}
        await service.complete(body=own, task="own")
    entries = await service.booked(8)
    found = await report(service)
    savings = [entry.savings for entry in entries]
    assert sum(p.saved_nano_usd for p in found.prefixes) == sum(s.prompt_cache_nano_usd for s in savings) > 0
    assert sum(p.caller_saved_nano_usd for p in found.prefixes) == sum(s.caller_nano_usd for s in savings) > 0
    assert sum(p.call_count for p in found.prefixes) == 8
    assert sum(p.read_tokens for p in found.prefixes) == sum(e.usage.cache_read_tokens for e in entries)
    faq = {p.prefix: p for p in found.prefixes if p.task == "faq"}
    assert faq.pop("_first").call_count == 1
    [shared] = faq.values()
    assert (shared.call_count, len(shared.prefix)) == (3, 12)
    assert not found.advice
    assert not (await report(service, "other")).prefixes
    await service.admin.DeleteTenantData(v1.DeleteTenantDataRequest(tenant="default"))
    assert not (await report(service)).prefixes


async def test_callers_breakpoints_that_never_help_are_told(service):
    """A breakpoint on what is always another, in calls that leave breakpoints to the caller."""
    for n in range(4):
        block = {"type": "text", "text": f"{n}. {SYSTEM}", "cache_control": {"type": "ephemeral"}}
        own = {"max_tokens": 60, "system": [block], "messages": [{"role": "user", "content": "Why?"}]}
        await service.complete(body=own, task="own", marker_mode=v1.MARKER_MODE_CALLER_ONLY)
    lost = -sum(entry.savings.caller_nano_usd for entry in await service.booked(4))
    [advice] = (await report(service)).advice
    assert (advice.reason, advice.daily_nano_usd) == ("caller_breakpoints", lost)


async def test_parallel_first_uses_are_told(service):
    """Where policy lets none wait, as shipped: all but one could have been spared their write."""
    service.sim.settings.first_byte_s = 0.3
    await asyncio.gather(*(service.complete(f"{n}?", system=SYSTEM, task="faq") for n in range(3)))
    entries = await service.booked(3)
    found = await report(service)
    wrote = [entry for entry in entries if entry.usage.cache_write_5m_tokens]
    assert len(wrote) > 1
    [misses] = found.misses
    assert (misses.reason, misses.block) == ("not_yet_written", "system.0")
    assert misses.miss_count == len(wrote) - 1
    assert not found.advice


async def test_ranges_are_checked(service, refused):
    """They are not empty, and no longer than what is kept."""
    request = v1.ReportPromptCacheRequest(tenant="default")
    request.start_time.FromDatetime(service.started_at)
    request.end_time.FromDatetime(service.started_at)
    assert (await refused(service.admin.ReportPromptCache(request))).reason == "INVALID_FIELD"
    request.end_time.FromDatetime(service.started_at + timedelta(days=101))
    assert (await refused(service.admin.ReportPromptCache(request))).reason == "INVALID_FIELD"


async def test_route_says_why_nothing_is_marked(service):
    """Too short, left to the caller, no room, or not likely enough to come again."""

    async def why(body: dict[str, Any], **fields: Any) -> str:
        plan = (await service.route(body={"max_tokens": 9, **body}, **fields)).prompt_cache
        assert not [each for each in plan.breakpoints if not each.is_callers]
        [reason] = plan.reasons
        return reason

    def asks(text: str) -> list[dict[str, Any]]:
        return [{"role": "user", "content": text}]

    short = await why({"messages": asks("Hi")}, model="claude-haiku-4-5")
    assert short.startswith("too short by about 4,0")
    only = {"marker_mode": v1.MARKER_MODE_CALLER_ONLY}
    assert "leaves breakpoints to its caller" in await why({"messages": asks(SYSTEM)}, **only)
    block = {"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}
    assert "no room" in await why({"system": [block] * 4, "messages": asks("Hi")})
    odds = await why({"messages": asks(SYSTEM)})
    assert "at the end of the prompt, with 10% within 5 minutes (pays from 2" in odds
