"""Tests of probes, metrics and the configuration over HTTP."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from costsvc.addresses import CannotListen
from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.savings import Savings
from costsvc.core.usage import Usage
from costsvc.edge.ops import OpsServer, configuration, serve_ops
from costsvc.metrics import Metrics
from costsvc.settings import read_settings

ANYWHERE = "127.0.0.1:0"


@asynccontextmanager
async def ops(
    metrics: Metrics | None = None,
    parts: dict[str, bool] | None = None,
    shown: dict[str, Any] | None = None,
) -> AsyncIterator[OpsServer]:
    """Run an ops server on a free port."""
    state = parts or {}
    async with await serve_ops(
        ANYWHERE, metrics=metrics or Metrics(), ready=lambda: state, configuration=lambda: shown or {}
    ) as server:
        yield server


async def get(server: OpsServer, path: str) -> tuple[int, Any]:
    """Return status and body, as JSON where it is JSON."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{server.address}{path}") as response:
        is_json = response.content_type == "application/json"
        return response.status, await (response.json() if is_json else response.text())


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Return every sample by name and label values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


async def test_a_process_is_alive_whatever_its_parts_are() -> None:
    """Liveness does not depend on the store, or a store's trouble would restart every replica."""
    async with ops(parts={"store": False}) as server:
        assert await get(server, "/healthz") == (200, {"alive": True})


async def test_readiness_is_the_and_of_named_parts() -> None:
    """One part that is not well makes 503, and the body says which."""
    parts = {"store": True, "running": True}
    async with ops(parts=parts) as server:
        assert await get(server, "/readyz") == (200, {"ready": True, "parts": parts})
        parts["store"] = False
        assert await get(server, "/readyz") == (503, {"ready": False, "parts": parts})


async def test_unknown_paths_are_not_found() -> None:
    """There is nothing else to see."""
    async with ops() as server:
        assert (await get(server, "/"))[0] == 404


async def test_the_configuration_in_force_is_shown_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue's hash, the whole policy and the settings are there; the key is not."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-very-secret")
    catalog = load_catalog_files()
    policy = load_policy_file(None, catalog)
    async with ops(shown=configuration(read_settings(), catalog, policy)) as server:
        status, body = await get(server, "/configz")
    assert status == 200
    assert body["catalog"]["hash"] == catalog.hash
    assert body["policy"]["hash"] == policy.hash
    assert body["policy"]["tiers"]["simple"] == list(policy.tiers[min(policy.tiers)])
    assert body["policy"]["tasks"]["faq"]["tier"] == "simple"
    assert body["settings"]["has_api_key"] is True
    assert "very-secret" not in str(body)


async def test_metrics_are_served_as_prometheus_text() -> None:
    """The exposition parses, and holds what was counted."""
    metrics = Metrics()
    metrics.call_began()
    metrics.call_ended("Complete", "OK", 0.2)
    async with ops(metrics) as server:
        status, text = await get(server, "/metrics")
    assert status == 200
    families = {family.name for family in text_string_to_metric_families(text)}
    assert {"costsvc_calls", "costsvc_call_seconds", "costsvc_in_flight_calls"} <= families


def test_calls_are_counted_by_method_and_code() -> None:
    """A call is in flight from its beginning to its end, then counted and timed."""
    metrics = Metrics()
    for _ in range(3):
        metrics.call_began()
    metrics.call_ended("Complete", "OK", 0.2)
    metrics.call_ended("Complete", "UNAVAILABLE", 0.3)
    found = samples(metrics)
    assert found["costsvc_in_flight_calls",] == 1
    assert found["costsvc_calls_total", "OK", "Complete"] == 1
    assert found["costsvc_calls_total", "UNAVAILABLE", "Complete"] == 1
    assert found["costsvc_call_seconds_count", "Complete"] == 2
    assert found["costsvc_call_seconds_sum", "Complete"] == pytest.approx(0.5)


def test_a_settled_attempt_adds_cost_tokens_and_savings() -> None:
    """A technique that lost money counts apart, because a counter cannot fall."""
    metrics = Metrics()
    usage = Usage(input_tokens=10, cache_read_tokens=4, output_tokens=7)
    savings = Savings(routing_nano_usd=500_000_000, prompt_cache_nano_usd=-250_000_000)
    for _ in range(2):
        metrics.settled("claude-haiku-5-5", 1_500_000_000, savings, usage)
    found = samples(metrics)
    assert found["costsvc_cost_usd_total", "claude-haiku-5-5"] == 3
    assert found["costsvc_saved_usd_total", "routing"] == 1
    assert found["costsvc_lost_usd_total", "prompt_cache"] == 0.5
    assert found["costsvc_tokens_total", "input", "claude-haiku-5-5"] == 20
    assert found["costsvc_tokens_total", "cache_read", "claude-haiku-5-5"] == 8
    assert found["costsvc_tokens_total", "output", "claude-haiku-5-5"] == 14


def test_the_state_of_settlement_is_visible() -> None:
    """What is unsettled, what waits, and whether the store answers."""
    metrics = Metrics()
    metrics.unsettled("cancelled")
    metrics.pending_settlements(3)
    metrics.store_available(available=True)
    found = samples(metrics)
    assert found["costsvc_unsettled_attempts_total", "cancelled"] == 1
    assert found["costsvc_pending_settlements",] == 3
    assert found["costsvc_store_available",] == 1


def test_no_metric_has_a_tenant() -> None:
    """Tenants are without number; their spend is in reports."""
    labels = {label for family in Metrics().registry.collect() for s in family.samples for label in s.labels}
    assert "tenant" not in labels


async def test_a_port_in_use_is_one_sentence() -> None:
    """The sentence names the address and the option, and nothing is left open."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotListen) as refused:
            await serve_ops(address, metrics=Metrics(), ready=dict, configuration=dict)
    assert str(refused.value) == (
        f"cannot listen on {address}: address already in use; name another address with --ops"
    )
