"""Tests of a policy that changes while the service runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from costsvc.app import policies
from costsvc.data import read_text

SHIPPED = read_text("policy.toml")
ALL_SIMPLE = SHIPPED.replace('default_tier = "medium"', 'default_tier = "simple"')
HAIKU, SONNET = "claude-haiku-5-5", "claude-sonnet-5-5"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than in production."""
    monkeypatch.setattr(policies, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(policies, "SETTLE_S", 0.02)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a policy file."""
    path = tmp_path / "policy.toml"
    path.write_text(SHIPPED)
    return path


async def failed(service: Any) -> float:
    """Return the metric that says whether the file cannot be used."""
    url = f"http://{service.running.ops_address}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        [line] = [
            line
            for line in (await response.text()).splitlines()
            if line.startswith("costsvc_policy_reload_failed")
        ]
    return float(line.split()[1])


async def configured(service: Any) -> Any:
    """Return the policy that the service says is in force."""
    url = f"http://{service.running.ops_address}/configz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return (await response.json())["policy"]


async def until_model(service: Any, model: str) -> None:
    """Wait until work of which nothing is known goes to a model."""
    async with asyncio.timeout(10):
        while (await service.route()).decision.model != model:  # noqa: ASYNC110 - a decision has no event
            await asyncio.sleep(0.01)


async def until_failed(service: Any, value: float) -> None:
    """Wait until the metric has a value."""
    async with asyncio.timeout(10):
        while await failed(service) != value:  # noqa: ASYNC110 - nor has a metric
            await asyncio.sleep(0.01)


async def test_a_changed_file_comes_into_force(serve, path):
    """Decisions and /configz follow it, without a restart; it is logged once."""
    async with serve(policy=path) as service:
        assert (await service.route()).decision.model == SONNET
        path.write_text(ALL_SIMPLE)
        await until_model(service, HAIKU)
        assert (await service.complete()).model == HAIKU
        assert (await configured(service))["default_tier"] == "simple"
        [line] = service.lines("policy_replaced")
        assert line["policy"] != line["before"]
        assert await failed(service) == 0


async def test_a_broken_file_keeps_the_policy_in_force(serve, path):
    """It is said once and by a metric until the file is good again; calls go on."""
    async with serve(policy=path) as service:
        path.write_text(ALL_SIMPLE.replace('default_tier = "simple"', 'default_tier = "hard"'))
        await until_failed(service, 1)
        assert (await service.complete()).model == SONNET
        running = service.running.parts.policy_watch
        for _ in range(3):
            running.ask()
            await asyncio.sleep(0.05)
        [line] = service.lines("policy_reload_failed")
        assert "default_tier: 'hard' is none of complex, medium, simple" in line["problem"]
        assert line["problem"].startswith(f"{path}:")
        path.unlink()
        async with asyncio.timeout(10):
            while len(service.lines("policy_reload_failed")) < 2:  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.01)
        assert "cannot be read" in service.lines("policy_reload_failed")[1]["problem"]
        path.write_text(ALL_SIMPLE)
        await until_model(service, HAIKU)
        await until_failed(service, 0)


async def test_swapped_links_are_noticed(serve, tmp_path):
    """As Kubernetes updates a ConfigMap: a link to a directory is replaced, the path stays the same."""
    for name, text in (("one", SHIPPED), ("two", ALL_SIMPLE)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.toml").write_text(text)
        os.utime(tmp_path / name / "policy.toml", (1, 1))  # the same time and almost the same size
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "policy.toml").symlink_to("..data/policy.toml")
    async with serve(policy=tmp_path / "policy.toml") as service:
        assert (await service.route()).decision.model == SONNET
        (tmp_path / "..new").symlink_to("two")
        (tmp_path / "..new").rename(tmp_path / "..data")
        await until_model(service, HAIKU)


async def test_report_labels_follow_the_file(serve, path, refused):
    """What is added up, and what may be asked for, are of one policy."""
    async with serve(policy=path) as service:
        by_region = {"group_by": 3, "label_key": "region"}
        refusal = await refused(service.report(**by_region))
        assert refusal.violations.keys() == {"label_key"}
        path.write_text(ALL_SIMPLE.replace('"environment"]', '"environment", "region"]'))
        await until_model(service, HAIKU)
        await service.complete(labels={"region": "eu"})
        await service.booked()
        rows = (await service.report(**by_region)).rows
        assert [(row.group, row.totals.call_count) for row in rows] == [("eu", 1)]
