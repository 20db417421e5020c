from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from yarl import URL

from costsvc.provider_sim import RunningSim

PARAMS = {
    "model": "claude-haiku-4-5",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "Why is the sea salty?"}],
}


async def call(http: aiohttp.ClientSession, method: str, path: str = "", **body: Any) -> dict[str, Any]:
    """Call the batches API; the HTTP status is under `status`."""
    async with http.request(method, f"/v1/messages/batches{path}", json=body or None) as response:
        return {"status": response.status, **await response.json()}


def items(*params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the items i0, i1 and so on."""
    return [{"custom_id": f"i{i}", "params": one} for i, one in enumerate(params)]


async def results(http: aiohttp.ClientSession, url: str) -> dict[str, dict[str, Any]]:
    """Return the results by custom id."""
    async with http.get(URL(url).path) as response:
        assert response.content_type == "application/x-jsonl"
        lines = (await response.text()).splitlines()
    return {line["custom_id"]: line["result"] for line in map(json.loads, lines)}


async def test_successes_cost_half_and_failures_nothing(
    ask: Any, http: aiohttp.ClientSession, sim: RunningSim
) -> None:
    """Only succeeded items are on the bill, at half the price of the same call."""
    await ask(**PARAMS, headers={"x-costsvc-attempt": "direct"})
    bad = [PARAMS | {"stream": True}, PARAMS | {"max_tokens": 0}, PARAMS | {"model": "claude-none"}, {}]
    batch = await call(http, "POST", requests=items(PARAMS, *bad))
    sim.clock.advance(5)
    ended = await call(http, "GET", f"/{batch['id']}")
    assert ended["request_counts"] == {
        "processing": 0, "succeeded": 1, "errored": 4, "canceled": 0, "expired": 0
    }  # fmt: skip
    got = await results(http, ended["results_url"])
    assert got["i0"]["message"]["usage"]["inference_geo"] == "not_available"
    assert got["i3"]["error"]["error"]["type"] == "not_found_error"
    direct, half = sim.bill.lines()
    assert half.pico_usd * 2 == direct.pico_usd
    assert (half.batch_id, half.custom_id) == (batch["id"], "i0")


async def test_a_canceled_batch_keeps_what_was_done(http: aiohttp.ClientSession, sim: RunningSim) -> None:
    """Halfway through, half of the items succeed and are charged."""
    sim.settings.batch_delay_s = 100
    batch = await call(http, "POST", requests=items(*[PARAMS] * 10))
    sim.clock.advance(50)
    canceling = await call(http, "POST", f"/{batch['id']}/cancel")
    assert (canceling["processing_status"], canceling["results_url"]) == ("canceling", None)
    sim.clock.advance(1)
    ended = await call(http, "GET", f"/{batch['id']}")
    counts = ended["request_counts"]
    assert (ended["processing_status"], counts["succeeded"], counts["canceled"]) == ("ended", 5, 5)
    assert sim.bill.calls == 5


async def test_a_slow_batch_expires(http: aiohttp.ClientSession, sim: RunningSim) -> None:
    """After a day what is not done is expired, and free."""
    sim.settings.batch_delay_s = 2 * 86_400
    batch = await call(http, "POST", requests=items(*[PARAMS] * 4))
    sim.clock.advance(86_401)
    counts = (await call(http, "GET", f"/{batch['id']}"))["request_counts"]
    assert (counts["succeeded"], counts["expired"]) == (2, 2)
    assert sim.bill.calls == 2


async def test_scripted_items(http: aiohttp.ClientSession, sim: RunningSim) -> None:
    """Single items can be made to fail, expire or be refused."""
    path = "/v1/messages/batches"
    sim.faults.add("item_errored", match={"path": path, "custom_id": "i0"}, status=500)
    sim.faults.add("item_expired", match={"path": path, "custom_id": "i1"})
    sim.faults.add("refusal", category="cyber", match={"path": path, "custom_id": "i2"})
    batch = await call(http, "POST", requests=items(*[PARAMS] * 4))
    sim.clock.advance(5)
    got = await results(http, (await call(http, "GET", f"/{batch['id']}"))["results_url"])
    assert [got[f"i{i}"]["type"] for i in range(4)] == ["errored", "expired", "succeeded", "succeeded"]
    assert got["i2"]["message"]["stop_reason"] == "refusal"
    assert [line.pico_usd > 0 for line in sim.bill.lines()] == [False, True]


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [{"custom_id": "has space", "params": PARAMS}],
        [{"custom_id": "a", "params": PARAMS}] * 2,
        [{"custom_id": "a"}],
        "all",
    ],
)
async def test_bad_batches_are_refused(http: aiohttp.ClientSession, requests: Any) -> None:
    """The envelope is checked at once, the items later."""
    assert (await call(http, "POST", requests=requests))["status"] == 400


async def test_an_unfinished_batch_has_no_results_and_stays(http: aiohttp.ClientSession) -> None:
    """Results come after the end, deletion too."""
    batch = await call(http, "POST", requests=items(PARAMS))
    assert (await call(http, "GET", f"/{batch['id']}/results"))["status"] == 404
    assert (await call(http, "DELETE", f"/{batch['id']}"))["status"] == 400


async def test_batches_belong_to_a_workspace(http: aiohttp.ClientSession, sim: RunningSim) -> None:
    """Another key sees nothing."""
    batch = await call(http, "POST", requests=items(PARAMS))
    headers = {"x-api-key": "another", "anthropic-version": "2023-06-01"}
    async with aiohttp.ClientSession(sim.url, headers=headers) as other:
        assert (await call(other, "GET", f"/{batch['id']}"))["status"] == 404
        assert (await call(other, "GET"))["data"] == []


async def test_the_list_has_pages_both_ways(http: aiohttp.ClientSession) -> None:
    """Newest first; after_id goes on, before_id goes back."""
    ids = [(await call(http, "POST", requests=items(PARAMS)))["id"] for _ in range(5)][::-1]
    first = await call(http, "GET", "?limit=2")
    after = await call(http, "GET", f"?limit=2&after_id={first['last_id']}")
    before = await call(http, "GET", f"?limit=2&before_id={after['first_id']}")
    assert [one["id"] for one in first["data"] + after["data"]] == ids[:4]
    assert before["data"] == first["data"]
    assert (first["has_more"], after["has_more"], before["has_more"]) == (True, True, False)
    assert (await call(http, "GET", "?limit=1001"))["status"] == 400


async def test_who_goes_away_leaves_nothing_half_done(http: aiohttp.ClientSession, sim: RunningSim) -> None:
    """The items are worked on once, whoever asked first and did not wait."""
    batch = await call(http, "POST", requests=items(*([PARAMS] * 600)))
    sim.clock.advance(5)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call(http, "GET", f"/{batch['id']}"), 0.01)
    ended = await call(http, "GET", f"/{batch['id']}")
    assert ended["request_counts"]["succeeded"] == 600
    async with http.get(URL(ended["results_url"]).path) as response:
        assert len((await response.text()).splitlines()) == 600
    assert len(sim.bill.lines()) == 600
