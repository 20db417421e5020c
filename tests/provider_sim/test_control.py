from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from costsvc.provider_sim import RunningSim, start


async def get(http: aiohttp.ClientSession, path: str) -> Any:
    """Return the JSON of a control."""
    async with http.get(path) as response:
        return await response.json()


async def test_the_bill_is_read_in_pages(ask: Any, http: aiohttp.ClientSession) -> None:
    """Pages follow each other by number, and their amounts sum to the total."""
    for i in range(5):
        await ask(headers={"x-costsvc-attempt": f"at-{i}"})
    first = await get(http, "/_sim/bill?limit=3")
    rest = await get(http, f"/_sim/bill?limit=3&after={first['next_after']}")
    lines = first["lines"] + rest["lines"]
    assert [line["attempt"] for line in lines] == [f"at-{i}" for i in range(5)]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    total = await get(http, "/_sim/bill/total")
    assert total["calls"] == 5
    assert int(total["pico_usd"]) == sum(int(line["pico_usd"]) for line in lines)
    whole, digits = total["usd"].split(".")
    assert int(whole + digits) == int(total["pico_usd"])


async def test_one_attempt_can_be_looked_up(ask: Any, http: aiohttp.ClientSession) -> None:
    """An attempt has its lines, and an unknown one has none."""
    await ask(headers={"x-costsvc-attempt": "at-1"})
    assert len((await get(http, "/_sim/bill?attempt=at-1"))["lines"]) == 1
    assert (await get(http, "/_sim/bill?attempt=at-2"))["lines"] == []


async def test_a_reset_starts_over(ask: Any, http: aiohttp.ClientSession, sim: RunningSim) -> None:
    """Bill and faults are gone."""
    await ask()
    sim.faults.add("overloaded")
    async with http.post("/_sim/reset") as response:
        assert (await response.json())["calls"] == 0
    assert (await ask())["status"] == 200


async def test_the_clock_moves_forward_only(http: aiohttp.ClientSession) -> None:
    """Advancing adds; going back is refused."""
    before = (await get(http, "/_sim/clock"))["now_s"]
    async with http.post("/_sim/clock", json={"advance_s": 90}) as response:
        assert (await response.json())["now_s"] - before == 90
    async with http.post("/_sim/clock", json={"advance_s": -1}) as response:
        assert response.status == 400


async def test_models_retire_with_the_clock(ask: Any, sim: RunningSim) -> None:
    """Sonnet 4.5 answers until its last day."""
    assert (await ask(model="claude-sonnet-4-5"))["status"] == 200
    sim.clock.advance(8 * 86_400)
    assert (await ask(model="claude-sonnet-4-5"))["status"] == 404


async def test_latency_can_be_set(ask: Any, http: aiohttp.ClientSession, sim: RunningSim) -> None:
    """The control takes milliseconds."""
    async with http.post("/_sim/latency", json={"first_byte_ms": 2, "ms_per_token": 0}) as response:
        assert response.status == 200
    assert sim.settings.first_byte_s == pytest.approx(0.002)
    assert (await ask())["status"] == 200


async def test_requests_are_kept_when_asked(ask: Any, sim: RunningSim, http: aiohttp.ClientSession) -> None:
    """The body is the bytes that came."""
    await ask(headers={"x-costsvc-attempt": "at-1"})
    assert b"bicycle" in sim.requests[0].body
    assert "bicycle" in (await get(http, "/_sim/requests"))["requests"][0]["body"]


async def test_a_capped_bill_keeps_its_totals() -> None:
    """Old lines are dropped, money is not."""
    body = {"model": "claude-haiku-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"x-api-key": "k", "anthropic-version": "2026-10-21", "x-costsvc-attempt": "same"}
    async with await start(max_bill_lines=2) as sim, aiohttp.ClientSession(sim.url, headers=headers) as http:
        for _ in range(5):
            await http.post("/v1/messages", json=body)
        assert len(sim.bill.lines()) == len(sim.bill.of("same")) == 2
        assert sim.bill.total_pico_usd == 5 * sim.bill.lines()[0].pico_usd


async def test_a_taken_port_is_an_error() -> None:
    """Starting twice on a port fails instead of sharing it."""
    async with await start() as sim:
        with pytest.raises(OSError, match="in use"):
            await start(port=int(sim.url.rsplit(":", 1)[1]))


async def test_closing_ends_hung_calls(sim: RunningSim) -> None:
    """A simulator closes although a call hangs."""
    async with await start() as other, aiohttp.ClientSession(other.url) as http:
        other.faults.add("hang")
        body = {"model": "claude-haiku-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        headers = {"x-api-key": "k", "anthropic-version": "2026-10-21"}
        with pytest.raises(TimeoutError):
            await http.post("/v1/messages", json=body, headers=headers, timeout=aiohttp.ClientTimeout(0.05))
    assert sim.bill.calls == 0
