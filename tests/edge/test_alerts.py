"""Alerts of the whole service: from a call that reaches a threshold to a receiver over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest
from google.protobuf.json_format import ParseDict

from costsvc import v1
from costsvc.core.alert import sign
from tests.receiver import Receiver

SECRET = "whsec-canary"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Run a receiver whose path is a secret."""
    async with Receiver() as running:
        running.url += "/T0-canary"
        yield running


def settings(receiver: Receiver) -> dict[str, object]:
    """Return the settings of a service that alerts."""
    return {"alerts": {"webhook_url": receiver.url, "webhook_secret": SECRET}}


def soft(**fields: object) -> v1.SetBudgetRequest:
    """Return a budget that one call exceeds."""
    given = {
        "id": "b",
        "scope": {"kind": "BUDGET_KIND_EVERYTHING"},
        "window": {"calendar": {"unit": "CALENDAR_UNIT_MONTH", "zone": "Europe/Berlin"}},
        "limit_nano_usd": 1000,
        "mode": "BUDGET_MODE_SOFT",
        "thresholds_permille": [800, 1000],
    }
    return ParseDict({"budget": given | fields}, v1.SetBudgetRequest())


async def test_a_call_that_reaches_a_threshold_alerts(serve, receiver):
    """Once, signed, with the bill's own numbers; a second call says nothing."""
    async with serve(**settings(receiver)) as service:
        await service.admin.SetBudget(soft())
        answer = await service.complete(task="faq")
        await receiver.until(2)
        await service.complete("Another?", task="faq")
        await service.booked(2)
        lines = service.lines("budget_threshold")
    assert [line["threshold_permille"] for line in lines] == [800, 1000]
    tables = sorted((each.table for each in receiver.received), key=lambda each: each["threshold_permille"])
    assert [table["threshold_permille"] for table in tables] == [800, 1000]
    assert {table["spent_nano_usd"] for table in tables} == {answer.bill.cost_nano_usd}
    assert tables[0]["text"].startswith("80 % of budget b for everything reached: $0.00")
    assert "00:00 Europe/Berlin" in tables[0]["text"]
    for each in receiver.received:
        sent_s = each.headers["X-Costsvc-Signature"].partition(",")[0].removeprefix("t=")
        assert each.headers["X-Costsvc-Signature"] == _signature(each.body, int(sent_s))


async def test_two_services_alert_once(serve, receiver, tmp_path):
    """Whichever of them makes the calls."""
    async with (
        serve(**settings(receiver), data_dir=tmp_path / "one") as one,
        serve(**settings(receiver), data_dir=tmp_path / "two") as two,
    ):
        await one.admin.SetBudget(soft())
        questions = [f"Question {n}?" for n in range(3)]
        await asyncio.gather(*(each.complete(text, task="faq") for each in (one, two) for text in questions))
        await receiver.until(2)
        assert len(one.lines("budget_threshold")) == 2
    assert len(receiver.received) == 2


async def test_neither_url_nor_secret_is_shown(serve, receiver):
    """Not in what is logged, also of a failure, and not in the configuration."""
    receiver.status = 500
    async with serve(**settings(receiver)) as service:
        await service.admin.SetBudget(soft(webhook_url=f"{receiver.url}/own-canary"))
        await service.complete(task="faq")
        assert (await service.line("alert_webhook_failed"))["problem"] == "status 500"
        url = f"http://{service.running.ops_address}/configz"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            shown = await answer.text()
        text = await service.log.text()
    assert '"has_alert_webhook": true' in shown
    assert "canary" not in shown + text.replace("sk-ant-canary-key", "")
    assert {each.path for each in receiver.received} == {"/hook/T0-canary/own-canary"}


async def test_a_url_of_a_budget_is_checked_and_returned(service, refused):
    """Of http or https; the operator who set it may read it."""
    found = await refused(service.admin.SetBudget(soft(webhook_url="file:///etc/passwd")))
    assert list(found.violations) == ["budget.webhook_url"]
    url = "https://hooks.example.com/x?y=z"
    kept = await service.admin.SetBudget(soft(webhook_url=url))
    read = await service.admin.GetBudget(v1.GetBudgetRequest(id="b"))
    assert kept.budget.webhook_url == read.status.budget.webhook_url == url


def _signature(body: bytes, sent_s: int) -> str:
    """Return the header of a body that was sent then."""
    return sign(SECRET.encode(), body, datetime.fromtimestamp(sent_s, UTC))
