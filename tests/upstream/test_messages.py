from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys

import pytest

from costsvc.core.errors import Failure, ProviderError
from costsvc.upstream import anthropic_upstream
from costsvc.upstream.messages import AnthropicUpstream


async def test_sends_the_body_byte_for_byte(provider, upstream, request_of, message_json):
    """The provider receives the caller's bytes, spaces, order and odd escapes included."""
    provider.answers(message_json)
    body = b'{ "z":1.0,"a" :"\\u0000\xc3\xa9", "n":1e2 }'
    await upstream.send(request_of(body))
    assert provider.received[0].body == body
    assert provider.received[0].header("transfer-encoding") == ""


async def test_sends_large_bodies_without_holding_up_the_loop(provider, upstream, request_of, message_json):
    """A body of several pieces arrives whole, with its length in front."""
    provider.answers(message_json)
    body = bytes(range(256)) * 5000
    await upstream.send(request_of(body))
    assert provider.received[0].body == body


async def test_sends_the_sdks_headers_and_the_attempt(provider, upstream, request_of, message_json):
    """Credentials and version are the SDK's, the attempt is named, and the request's headers win."""
    provider.answers(message_json)
    await upstream.send(request_of(anthropic_beta="a,b", Anthropic_Version="2023-06-01"))
    [received] = provider.received
    assert received.head.startswith("post /v1/messages http/1.1")
    assert received.header("authorization") == "bearer secret"
    assert received.header("x-costsvc-attempt") == "attempt-1"
    assert received.header("anthropic-beta") == "a,b"
    assert received.header("anthropic-version") == "2023-06-01"
    assert received.header("content-type") == "application/json"
    assert received.head.count("anthropic-version") == 1


async def test_sends_the_sdks_api_version(provider, upstream, request_of, message_json):
    """Without an override the version is the one that the SDK was made for."""
    provider.answers(message_json)
    await upstream.send(request_of())
    assert provider.received[0].header("anthropic-version") == "2026-10-21"


async def test_answers_with_the_providers_bytes(provider, upstream, request_of, message_json):
    """The answer is the provider's bytes, their parsed form and the provider's request id."""
    provider.answers(message_json)
    answer = await upstream.send(request_of())
    assert answer.message_json == message_json
    assert answer.message == json.loads(message_json)
    assert answer.provider_request_id == "req_1"


async def test_uses_a_connection_again(provider, upstream, request_of, message_json):
    """Calls in a row share one connection."""
    provider.answers(message_json)
    for _ in range(3):
        await upstream.send(request_of())
    assert provider.connection_count == 1


async def test_keeps_a_path_in_the_base_url(provider, request_of, message_json):
    """A gateway may serve the API below a path of its own."""
    provider.answers(message_json)
    adapter = AnthropicUpstream(api_key="secret", base_url=provider.url + "/gateway")
    await adapter.send(request_of())
    await adapter.close()
    assert provider.received[0].head.startswith("post /gateway/v1/messages ")


async def test_a_refused_connection_costs_nothing(request_of):
    """Nobody listening means unavailable, and surely not billed."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        adapter = AnthropicUpstream(api_key="secret", base_url=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(ProviderError) as caught:
            await adapter.send(request_of())
        await adapter.close()
    assert caught.value.failure is Failure.UNAVAILABLE
    assert not caught.value.may_have_spent


async def test_a_connection_lost_after_the_request_may_have_spent(provider, upstream, request_of):
    """Silence after the whole request has gone out leaves the bill unknown."""
    provider.then = "cut"
    with pytest.raises(ProviderError) as caught:
        await upstream.send(request_of())
    assert caught.value.failure is Failure.UNAVAILABLE
    assert caught.value.may_have_spent


async def test_nothing_is_sent_twice(provider, upstream, request_of):
    """A lost answer is not asked for again: each request on the wire is one attempt."""
    provider.then = "cut"
    with pytest.raises(ProviderError):
        await upstream.send(request_of())
    assert len(provider.received) == 1


async def test_a_connection_lost_during_the_upload_costs_nothing(provider, upstream, request_of):
    """The provider cannot bill a request of which it has not had the last byte."""
    provider.reads_body = False
    provider.then = "cut"
    with pytest.raises(ProviderError) as caught:
        await upstream.send(request_of(b" " * 32_000_000))
    assert caught.value.failure is Failure.UNAVAILABLE
    assert not caught.value.may_have_spent


async def test_a_connection_lost_in_the_answer_names_the_request(provider, upstream, request_of):
    """An answer cut in its body may have been billed, and its id is known for asking the provider."""
    provider.script = [b'HTTP/1.1 200 OK\r\ncontent-length: 99\r\nrequest-id: req_1\r\n\r\n{"type"']
    provider.then = "cut"
    with pytest.raises(ProviderError) as caught:
        await upstream.send(request_of())
    assert caught.value.failure is Failure.UNAVAILABLE
    assert caught.value.may_have_spent
    assert caught.value.provider_request_id == "req_1"


@pytest.mark.parametrize("script", [[], [b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"]])
async def test_the_deadline_covers_the_whole_answer(provider, upstream, request_of, script):
    """A provider that falls silent, before or within its answer, has the time of the request and no more."""
    provider.script = script
    provider.then = "hang"
    with pytest.raises(ProviderError) as caught:
        await upstream.send(request_of(timeout_s=0.1))
    assert caught.value.failure is Failure.TIMED_OUT
    assert caught.value.may_have_spent


async def test_waiting_for_a_connection_costs_nothing(provider, request_of):
    """A deadline that passes before the request could go out is timed out, and surely not billed."""
    provider.then = "hang"
    adapter = AnthropicUpstream(api_key="secret", base_url=provider.url, max_connections=1)
    first = asyncio.create_task(adapter.send(request_of()))
    await provider.was_called.wait()
    with pytest.raises(ProviderError) as caught:
        await adapter.send(request_of(timeout_s=0.05))
    assert caught.value.failure is Failure.TIMED_OUT
    assert not caught.value.may_have_spent
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await adapter.close()


async def test_a_cancelled_call_frees_its_connection(provider, request_of, message_json):
    """A caller that goes away takes no connection with it."""
    provider.then = "hang"
    adapter = AnthropicUpstream(api_key="secret", base_url=provider.url, max_connections=1)
    call = asyncio.create_task(adapter.send(request_of()))
    await provider.was_called.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    provider.answers(message_json)
    provider.then = "keep"
    assert (await adapter.send(request_of())).message_json == message_json
    await adapter.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"type":"message"}',
        b'{"type":"message","usage":{',
        b"\xff",
        b"[" * 99999,
    ],
)
async def test_an_unreadable_answer_may_have_spent(provider, upstream, request_of, body):
    """A 200 that is no message was billed for all we know."""
    provider.answers(body)
    with pytest.raises(ProviderError) as caught:
        await upstream.send(request_of())
    assert caught.value.failure is Failure.MALFORMED
    assert caught.value.may_have_spent
    assert caught.value.provider_request_id == "req_1"


async def test_an_error_inside_a_200_is_read_by_its_type(provider, upstream, request_of):
    """A late error comes with the status 200; its type says what it is."""
    provider.answers(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    with pytest.raises(ProviderError) as caught:
        await upstream.send(request_of())
    assert caught.value.failure is Failure.OVERLOADED
    assert caught.value.may_have_spent


async def test_bytes_that_are_no_http_are_malformed(provider, upstream, request_of):
    """Something else listening on the port is not mistaken for a provider that is away."""
    provider.script = [b"220 mail.example ESMTP\r\n\r\n"]
    provider.then = "cut"
    with pytest.raises(ProviderError) as caught:
        await upstream.send(request_of())
    assert caught.value.failure is Failure.MALFORMED
    assert caught.value.may_have_spent


async def test_an_error_answer_costs_nothing(provider, upstream, request_of):
    """An HTTP error is a full answer: kind, code, id and waiting time, and no bill."""
    error = {"type": "rate_limit_error", "message": "slow", "details": {"error_code": "ramp_limit_exceeded"}}
    body = json.dumps({"type": "error", "error": error}).encode()
    provider.answers(body, status="429 Too Many Requests", headers="retry-after: 7\r\n")
    with pytest.raises(ProviderError) as caught:
        await upstream.send(request_of())
    failure = caught.value
    assert failure.failure is Failure.RATE_LIMITED
    assert (failure.http_status, failure.error_type) == (429, "rate_limit_error")
    assert (failure.code, failure.retry_after_s) == ("ramp_limit_exceeded", 7.0)
    assert (failure.provider_request_id, failure.may_have_spent) == ("req_1", False)


async def test_an_error_answer_cut_in_its_body_still_costs_nothing(provider, upstream, request_of):
    """The status of an error says enough when its body breaks off."""
    provider.script = [b"HTTP/1.1 529 Overloaded\r\ncontent-length: 99\r\n\r\n{"]
    provider.then = "cut"
    with pytest.raises(ProviderError) as caught:
        await upstream.send(request_of())
    assert caught.value.failure is Failure.OVERLOADED
    assert not caught.value.may_have_spent


async def test_a_redirect_is_not_followed(provider, upstream, request_of):
    """Credentials and prompts go to the configured host only."""
    provider.answers(b"", status="307 Temporary Redirect", headers="location: /elsewhere\r\n")
    with pytest.raises(ProviderError) as caught:
        await upstream.send(request_of())
    assert caught.value.http_status == 307
    assert not caught.value.may_have_spent
    assert len(provider.received) == 1


async def test_no_proxy_stands_before_loopback(monkeypatch, provider, request_of, message_json):
    """Proxy variables of the environment do not catch calls to this very machine."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    provider.answers(message_json)
    adapter = AnthropicUpstream(api_key="secret", base_url=provider.url)
    assert (await adapter.send(request_of())).message_json == message_json
    await adapter.close()


async def test_a_proxy_stands_before_the_public_provider(monkeypatch, provider, request_of):
    """Proxy variables hold for any other host; a proxy's refusal is no bill."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", provider.url)
    monkeypatch.setenv("http_proxy", provider.url)
    provider.answers(b"", status="503 Service Unavailable")
    adapter = AnthropicUpstream(api_key="secret", base_url="http://provider.invalid")
    with pytest.raises(ProviderError) as caught:
        await adapter.send(request_of())
    await adapter.close()
    assert caught.value.failure is Failure.UNAVAILABLE
    assert not caught.value.may_have_spent
    assert provider.received[0].head.startswith("post http://provider.invalid/v1/messages ")


async def test_credentials_of_the_environment_are_not_used(monkeypatch, provider, request_of, message_json):
    """Key and address are what the constructor was given, whatever the environment says."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "other")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    provider.answers(message_json)
    adapter = anthropic_upstream(api_key="secret", base_url=provider.url)
    await adapter.send(request_of())
    await adapter.close()
    assert provider.received[0].header("authorization") == "bearer secret"


def test_the_sdk_is_imported_only_for_an_upstream():
    """A process that makes no upstream does not pay for the SDK."""
    program = "import sys, costsvc.upstream; print('anthropic' in sys.modules, 'httpx2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
