from __future__ import annotations

import contextlib
import json
from typing import Any

import aiohttp
import pytest

from costsvc.provider_sim import RunningSim

BODY = {
    "model": "claude-haiku-4-5",
    "max_tokens": 500,
    "messages": [{"role": "user", "content": "How does a bicycle stay upright?"}],
}
ATTEMPT = {"x-costsvc-attempt": "at-1"}
SHORT = aiohttp.ClientTimeout(total=0.2)


async def script(http: aiohttp.ClientSession, *faults: dict[str, Any]) -> None:
    """Script faults over the control surface."""
    async with http.post("/_sim/faults", json={"faults": list(faults)}) as response:
        assert response.status == 200, await response.text()


def is_json(text: str) -> bool:
    """Return whether a text parses."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "rate_limit", "retry_after": 7}, (429, "rate_limit_error")),
        ({"kind": "server_error"}, (500, "api_error")),
        ({"kind": "overloaded"}, (529, "overloaded_error")),
        ({"kind": "529"}, (529, "overloaded_error")),
        ({"kind": "spend_limit"}, (429, "rate_limit_error")),
        ({"kind": "error", "status": 403, "message": "no"}, (403, "permission_error")),
    ],
)
async def test_scripted_errors_are_not_charged(
    ask: Any, http: aiohttp.ClientSession, sim: RunningSim, fault: dict[str, Any], error: tuple[int, str]
) -> None:
    """An error comes as often as scripted, and is not on the bill."""
    await script(http, fault | {"count": 2})
    for _ in range(2):
        answer = await ask()
        assert (answer["status"], answer["error"]["type"]) == error
    assert sim.bill.calls == 0
    assert (await ask())["status"] == 200


async def test_only_a_rate_limit_says_when_to_come_back(http: aiohttp.ClientSession) -> None:
    """retry-after is there when scripted; a spend limit has a code and none."""
    await script(http, {"kind": "rate_limit", "retry_after": 7}, {"kind": "spend_limit"})
    async with http.post("/v1/messages", json=BODY) as response:
        assert response.headers["retry-after"] == "7"
    async with http.post("/v1/messages", json=BODY) as response:
        assert "retry-after" not in response.headers
        code = (await response.json())["error"]["details"]["error_code"]
        assert code == "enforced_spend_limit_reached"


async def test_an_error_after_generation_can_be_charged(ask: Any, sim: RunningSim) -> None:
    """With `billed` the answer is lost and the money gone."""
    sim.faults.add("server_error", billed=True)
    assert (await ask(headers=ATTEMPT))["status"] == 500
    (line,) = sim.bill.of("at-1")
    assert line.pico_usd > 0
    assert not line.complete


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        ({"model": "claude-haiku-5-5"}, True),
        ({"model": "claude-opus-5"}, False),
        ({"text": "bicycle"}, True),
        ({"text": "tricycle"}, False),
        ({"attempt": "at-1"}, True),
        ({"attempt": "at-2"}, False),
        ({"stream": True}, False),
        ({"path": "/v1/messages/count_tokens"}, False),
    ],
)
async def test_faults_choose_their_calls(
    ask: Any, sim: RunningSim, match: dict[str, Any], hits: bool
) -> None:
    """A fault applies only to calls that match every field."""
    sim.faults.add("overloaded", match=match)
    assert ((await ask(headers=ATTEMPT))["status"] == 529) is hits


async def test_skipped_calls_pass_first(ask: Any, sim: RunningSim) -> None:
    """`skip` lets calls through before the fault."""
    sim.faults.add("overloaded", skip=2)
    assert [(await ask())["status"] for _ in range(4)] == [200, 200, 529, 200]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["cut_before_headers", "cut_after_headers", "cut_mid_stream"])
async def test_cuts_are_charged_as_incomplete(
    http: aiohttp.ClientSession, sim: RunningSim, kind: str, stream: bool
) -> None:
    """A connection that closes in the middle loses the answer, not the charge."""
    sim.faults.add(kind)
    with pytest.raises(aiohttp.ClientError):
        async with http.post("/v1/messages", json=BODY | {"stream": stream}, headers=ATTEMPT) as response:
            await response.read()
    (line,) = sim.bill.of("at-1")
    assert not line.complete
    assert line.pico_usd == line.used.input * 10**6 + line.used.output * 5 * 10**6 > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cut_before_generation_is_free(
    http: aiohttp.ClientSession, sim: RunningSim, stream: bool
) -> None:
    """With `billed` false the request never reached the model."""
    sim.faults.add("cut_before_headers", billed=False)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await http.post("/v1/messages", json=BODY | {"stream": stream})
    assert sim.bill.calls == 0


async def test_a_cut_stream_delivers_what_came_before(http: aiohttp.ClientSession, sim: RunningSim) -> None:
    """The events before the cut arrive, and only their output is charged."""
    sim.faults.add("cut_mid_stream", after_events=6)
    seen = b""
    async with http.post("/v1/messages", json=BODY | {"stream": True}, headers=ATTEMPT) as response:
        with contextlib.suppress(aiohttp.ClientPayloadError):
            while chunk := await response.content.readany():
                seen += chunk
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.readany()
    assert seen.count(b"event: ") == 6
    assert 0 < sim.bill.of("at-1")[0].used.output < 30


@pytest.mark.parametrize("stream", [False, True])
async def test_a_hang_is_silence(http: aiohttp.ClientSession, sim: RunningSim, stream: bool) -> None:
    """Nothing comes until the caller gives up; the call is on the bill."""
    sim.faults.add("hang")
    with pytest.raises(TimeoutError):
        await http.post("/v1/messages", json=BODY | {"stream": stream}, headers=ATTEMPT, timeout=SHORT)
    assert not sim.bill.of("at-1")[0].complete


async def test_a_stream_can_fail_with_status_200(http: aiohttp.ClientSession, sim: RunningSim) -> None:
    """A mid-stream error is an event, and the last one."""
    sim.faults.add("error_mid_stream", after_events=4)
    async with http.post("/v1/messages", json=BODY | {"stream": True}, headers=ATTEMPT) as response:
        last = (await response.text()).split("\n\n")[-2]
        assert response.status == 200
    assert last.startswith("event: error\ndata: ")
    assert "overloaded_error" in last
    assert not sim.bill.of("at-1")[0].complete


async def test_silence_is_filled_with_pings(http: aiohttp.ClientSession, sim: RunningSim) -> None:
    """A slow stream goes on after its pause."""
    sim.faults.add("slow", after_events=3, delay_s=0.05, ping_every_s=0.01)
    async with http.post("/v1/messages", json=BODY | {"stream": True}) as response:
        text = await response.text()
    assert text.count("event: ping") >= 5
    assert text.rstrip().endswith("}")
    assert "message_stop" in text


@pytest.mark.parametrize("stream", [False, True])
async def test_malformed_answers_are_charged(
    http: aiohttp.ClientSession, sim: RunningSim, stream: bool
) -> None:
    """Bytes that are not JSON cost as much as those that are."""
    sim.faults.add("malformed")
    async with http.post("/v1/messages", json=BODY | {"stream": stream}, headers=ATTEMPT) as response:
        text = await response.text()
    pieces = [line[6:] for line in text.splitlines() if line.startswith("data: ")] if stream else [text]
    assert any(not is_json(piece) for piece in pieces)
    assert sim.bill.of("at-1")[0].complete


async def test_odd_events_are_part_of_the_protocol(http: aiohttp.ClientSession, sim: RunningSim) -> None:
    """An unknown event and a second message_delta come in an otherwise good stream."""
    sim.faults.add("odd_events")
    async with http.post("/v1/messages", json=BODY | {"stream": True}) as response:
        text = await response.text()
    assert text.count("event: message_delta") == 2
    assert text.count("event: heartbeat_note") == 1


@pytest.mark.parametrize(
    ("category", "charged"),
    [("bio", True), ("frontier_llm", True), ("reasoning_extraction", True), ("cyber", False), (None, False)],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_refusals_before_output(
    http: aiohttp.ClientSession, sim: RunningSim, category: str | None, charged: bool, stream: bool
) -> None:
    """Some categories are charged for the prompt, others not at all, though usage shows tokens."""
    sim.faults.add("refusal", category=category)
    async with http.post("/v1/messages", json=BODY | {"stream": stream}, headers=ATTEMPT) as response:
        text = await response.text()
    assert '"stop_reason":"refusal"' in text
    assert "content_block_start" not in text
    (line,) = sim.bill.of("at-1")
    assert line.used.input > 0
    assert line.used.output == 0
    assert line.pico_usd == (line.used.input * 10**6 if charged else 0)


async def test_a_refusal_after_output_is_charged(ask: Any, sim: RunningSim) -> None:
    """Once something was said, every category is charged."""
    sim.faults.add("refusal", category="cyber", after_events=5)
    answer = await ask(headers=ATTEMPT)
    assert answer["stop_details"]["category"] == "cyber"
    assert sim.bill.of("at-1")[0].pico_usd > 0


@pytest.mark.parametrize(
    "fault",
    [{"kind": "nonsense"}, {"kind": "slow", "matches": 1}, {"kind": "slow", "match": {"colour": 1}}, {}, 3],
)
async def test_a_bad_script_is_refused(http: aiohttp.ClientSession, fault: Any) -> None:
    """A fault that cannot be meant is a 400 and changes nothing."""
    async with http.post("/_sim/faults", json=[fault]) as response:
        assert response.status == 400
    async with http.get("/_sim/faults") as response:
        assert (await response.json())["faults"] == []
