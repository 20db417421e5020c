"""Tests of the scores that a process holds: read beside the calls, refreshed, bounded, kept in an outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from costsvc.app import local_scores
from costsvc.app.local_scores import LocalScores, is_learned
from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.learning import Learning
from costsvc.core.request import ModelRequest, simple_members
from costsvc.core.scoring import read_prior
from costsvc.data import read_text
from costsvc.store.connection import open_store
from costsvc.store.fits import FitBook
from tests.core.fits import proved

SCALE, PRIOR = read_prior(read_text("score_prior.json"))
SHIPPED = load_policy_file(None, load_catalog_files())
POLICY = replace(SHIPPED, learned={"faq": Learning()})
FIT = proved(PRIOR, POLICY.first_models)


def request(task: str = "faq", **said: object) -> ModelRequest:
    """Return a request of a task."""
    return ModelRequest(members=simple_members("", [("user", "Why?")], 10), task=task, **said)  # type: ignore[arg-type]


def state(scores: LocalScores, tenant: str = "acme", task: str = "faq") -> str | None:
    """Return whether a score decides, None where there is none."""
    score = scores.score(request(task), tenant, POLICY)
    return score.state if score else None


@asynccontextmanager
async def fresh(scores: LocalScores) -> AsyncIterator[None]:
    """Keep scores fresh beside what is inside."""
    task = asyncio.ensure_future(scores.keep_fresh())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    while not condition():  # noqa: ASYNC110 - what others hold has no event
        await asyncio.sleep(0.01)


async def test_the_first_call_has_no_score_and_brings_it(store: Redis) -> None:
    """Nobody waits for the store: what is asked for is read beside the calls, soon, by tenant and task."""
    await FitBook(store).put("acme", "faq", FIT)
    scores = LocalScores(FitBook(store), SCALE)
    async with fresh(scores):
        assert state(scores) is None
        await until(lambda: state(scores) == "serving")
        assert state(scores, tenant="other") is None
        await scores.refresh()
        assert state(scores, tenant="other") is None


async def test_what_is_fitted_anew_replaces_what_was(store: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A score that is no longer proved stops deciding, and one that is gone is gone."""
    monkeypatch.setattr(local_scores, "REFRESH_S", 0.01)
    scores, fits = LocalScores(FitBook(store), SCALE), FitBook(store)
    await fits.put("acme", "faq", FIT)
    async with fresh(scores):
        await until(lambda: state(scores) == "serving")
        await fits.put("acme", "faq", replace(FIT, proof=None))
        await until(lambda: state(scores) == "shadow")
        await store.flushdb()
        await until(lambda: state(scores) is None)


async def test_other_models_put_a_score_into_the_shadow(store: Redis) -> None:
    """The policy may change under a fit, which was of its former models."""
    await FitBook(store).put("acme", "faq", replace(FIT, models=("a", "b", "c")))
    scores = LocalScores(FitBook(store), SCALE)
    assert state(scores) is None
    await scores.refresh()
    assert state(scores) == "shadow"


async def test_only_so_many_are_held(store: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was used longest ago goes, and comes back when it is asked for."""
    monkeypatch.setattr(local_scores, "MOST_TASKS", 2)
    scores = LocalScores(FitBook(store), SCALE)
    for tenant in ("a", "b", "c"):
        await FitBook(store).put(tenant, "faq", FIT)
        state(scores, tenant)
        await scores.refresh()
    assert [state(scores, tenant) for tenant in ("b", "c", "a")] == ["serving", "serving", None]


async def test_scores_stay_while_the_store_is_away(store: Redis, tmp_path) -> None:
    """What is in memory decides; what is not, is asked for again."""
    await FitBook(store).put("acme", "faq", FIT)
    scores = LocalScores(FitBook(store), SCALE)
    state(scores)
    await scores.refresh()
    away = open_store(f"unix://{tmp_path}/none.sock")
    scores._fits = FitBook(away)
    async with fresh(scores):
        assert state(scores) == "serving"
        assert state(scores, tenant="other") is None
    await away.aclose()


def test_only_routed_calls_of_learned_tasks_are_scored() -> None:
    """As shipped none is; a pinned model and the baseline are the caller's own choice."""
    assert is_learned(request(), "acme", POLICY)
    assert not is_learned(request(), "acme", SHIPPED)
    assert not is_learned(request("support"), "acme", POLICY)
    assert not is_learned(request(model="claude-haiku-5-5"), "acme", POLICY)
    assert not is_learned(request(baseline_only=True), "acme", POLICY)
    bound = replace(POLICY, learned={"faq": Learning(tenants=frozenset({"acme"}))})
    assert not is_learned(request(), "other", bound)
