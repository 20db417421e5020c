"""Tests of outcomes and fits in the store: merged, bounded, apart by tenant, gone after their time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from costsvc.core.features import BUCKETS, Features, features
from costsvc.core.local_score import Fit, Proof, Routed
from costsvc.core.request import Tier
from costsvc.core.scoring import read_prior
from costsvc.data import read_text
from costsvc.store import fits, keys, outcomes, seen_codec
from costsvc.store.fits import FIT_TTL, FitBook
from costsvc.store.outcomes import OUTCOMES_TTL, SEEN_TTL, Counts, Outcome, OutcomeBook, Rating
from costsvc.store.seen_codec import Seen

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SEEN = Seen(
    tenant="acme",
    task="support",
    tier=Tier.SIMPLE,
    model="small",
    input_tokens=120,
    output_tokens=45,
    features=features("Where is my order 1234?"),
)
GOOD, FAIR = Rating(score=0.9, model="small"), Rating(score=0.4, model="large")


@pytest.fixture
def book(store: Redis) -> OutcomeBook:
    """Give the outcomes of an empty store."""
    return OutcomeBook(store)


async def known(book: OutcomeBook, tenant: str = "acme", task: str = "support") -> list[Outcome]:
    """Return all outcomes of a task."""
    return [outcome async for outcome in book.outcomes(tenant, task)]


@given(st.frozensets(st.integers(0, BUCKETS - 1)), st.text(max_size=300))
def test_a_record_keeps_words_exactly_and_counts_nearly(grams: frozenset[int], text: str) -> None:
    """Hashed words come back as they were, counts to three digits."""
    seen = replace(SEEN, features=Features(features(text).counts, grams))
    read = seen_codec.decode(seen_codec.encode(seen))
    assert read.features.grams == grams
    assert read.features.counts == pytest.approx(seen.features.counts, rel=2e-3, abs=1e-3)
    assert replace(read, features=seen.features) == seen


def test_a_record_is_small_and_without_text() -> None:
    """A long prompt takes less than 700 bytes, none of which is a word of it."""
    text = read_text("policy.toml")
    data = seen_codec.encode(replace(SEEN, features=features(text)))
    assert len(data) < 700
    words = {word for word in text.split() if len(word) > 4} - {SEEN.task, SEEN.model}
    assert not [word for word in words if word.encode() in data]


@pytest.mark.parametrize(
    "data", [b"", b"\x01", seen_codec.encode(SEEN)[:-3], b"\x02" + seen_codec.encode(SEEN)[1:]]
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    """Damaged, or of another version: it is not read as something else."""
    with pytest.raises(ValueError, match="record"):
        seen_codec.decode(data)


async def test_prompts_are_kept_by_their_answers_for_a_week(store: Redis, book: OutcomeBook) -> None:
    """Several in one exchange, each with a time to live."""
    await book.keep([("a", SEEN), ("b", replace(SEEN, tenant="other"))])
    found = await book.find("b")
    assert found is not None
    assert (found.tenant, found.task, found.features.grams) == ("other", "support", SEEN.features.grams)
    assert await book.find("c") is None
    assert 0 < await store.pttl(keys.seen("a")) <= SEEN_TTL / timedelta(milliseconds=1)


async def test_what_several_callers_know_adds_up(book: OutcomeBook) -> None:
    """Each tier keeps what was said of it last, and repeating changes nothing."""
    everything = {Tier.SIMPLE: GOOD, Tier.MEDIUM: GOOD, Tier.COMPLEX: FAIR}
    for _ in range(2):
        assert await book.record("a", SEEN, {Tier.SIMPLE: FAIR}, at=AT) == Counts(outcomes=1, complete=0)
    assert await book.record("a", SEEN, {Tier.COMPLEX: FAIR}, at=AT) == Counts(outcomes=1, complete=0)
    rest = {Tier.SIMPLE: GOOD, Tier.MEDIUM: GOOD}
    assert await book.record("a", SEEN, rest, at=AT) == Counts(outcomes=1, complete=1)
    assert await book.record("a", SEEN, rest, at=AT) == Counts(outcomes=1, complete=1)
    [outcome] = await known(book)
    assert outcome.ratings == everything
    assert outcome.seen.features.grams == SEEN.features.grams


async def test_tenants_and_tasks_are_apart(book: OutcomeBook) -> None:
    """What one tenant's task learns, no other sees."""
    mine, theirs, other = SEEN, replace(SEEN, tenant="acme-2"), replace(SEEN, task="faq")
    for name, seen in (("a", mine), ("b", theirs), ("c", other)):
        await book.record(name, seen, {Tier.SIMPLE: GOOD}, at=AT)
    assert len(await known(book)) == 1
    assert await book.counts("acme-2", "support") == Counts(outcomes=1, complete=0)
    assert await book.counts("nobody", "support") == Counts(outcomes=0, complete=0)
    assert await book.tasks() == [("acme-2", "support"), ("acme", "faq"), ("acme", "support")]
    assert await book.tasks(tenant="acme") == [("acme", "faq"), ("acme", "support")]
    assert await book.tasks(task="support") == [("acme-2", "support"), ("acme", "support")]


async def test_the_oldest_go_first(store: Redis, book: OutcomeBook, monkeypatch) -> None:
    """Beyond the most, what was told of longest ago is dropped everywhere."""
    monkeypatch.setattr(outcomes, "MOST_OUTCOMES", 3)
    everything = dict.fromkeys(Tier, GOOD)
    for number in range(3):
        await book.record(f"r{number}", SEEN, everything, at=AT + number * SECOND)
    await book.record("r0", SEEN, {Tier.SIMPLE: FAIR}, at=AT + 3 * SECOND)
    assert await book.record("r4", SEEN, everything, at=AT + 4 * SECOND) == Counts(outcomes=3, complete=3)
    assert set(await store.hkeys(keys.outcomes("acme", "support"))) == {b"r0", b"r2", b"r4"}
    assert await store.smembers(keys.outcomes_complete("acme", "support")) == {b"r0", b"r2", b"r4"}


async def test_more_outcomes_than_one_page_are_read(book: OutcomeBook) -> None:
    """All of them, however the store pages."""
    for number in range(450):
        await book.record(f"r{number}", replace(SEEN, input_tokens=number), {Tier.SIMPLE: GOOD}, at=AT)
    assert {outcome.seen.input_tokens for outcome in await known(book)} == set(range(450))


async def test_nothing_is_kept_for_ever(store: Redis, book: OutcomeBook) -> None:
    """Every key has a time to live, so that a full store can evict it; tasks without news leave the list."""
    await book.keep([("a", SEEN)])
    await book.record("a", SEEN, dict.fromkeys(Tier, GOOD), at=AT)
    await FitBook(store).put("acme", "support", FIT)
    found = await store.keys("*")
    assert len(found) == 6
    for key in found:
        assert 0 < await store.ttl(key) <= OUTCOMES_TTL / SECOND, key
    later = AT + OUTCOMES_TTL + 2 * SECOND
    await book.record("b", replace(SEEN, task="faq"), {Tier.SIMPLE: GOOD}, at=later)
    assert await book.tasks() == [("acme", "faq")]


async def test_what_another_version_wrote_is_passed_over(store: Redis, book: OutcomeBook) -> None:
    """Numbers of other features would teach nonsense."""
    await book.record("a", SEEN, {Tier.SIMPLE: GOOD}, at=AT)
    await store.hset(keys.outcomes("acme", "support"), "b", b"1000000 small,,;\x09other")
    assert len(await known(book)) == 1
    await store.set(keys.seen("b"), b"\x09other")
    assert await book.find("b") is None


FIT = Fit(
    weights=read_prior(read_text("score_prior.json"))[1],
    proof=Proof(
        example_count=400,
        quality_floor=0.97,
        best_quality=0.9,
        routed=Routed(quality=0.88, cost_share=0.3, mix_cost_share=0.5),
        advantage_lower=0.1,
        price=0.25,
    ),
    models=("small", "middle", "large"),
    cost_shares=(0.025, 0.5, 1.0),
    mean_input_tokens=100,
    mean_output_tokens=50,
    outcome_count=400,
    fitted_at=AT,
)


async def test_a_fit_is_replaced_as_a_whole(store: Redis) -> None:
    """It comes back as it was, and its name tells without reading it whether it has changed."""
    book = FitBook(store)
    assert await book.get("acme", "support") == ("", None)
    await book.put("acme", "support", FIT)
    name, read = await book.get("acme", "support")
    assert read is not None
    assert replace(read, weights=FIT.weights) == FIT
    assert read.weights.to_bytes() == FIT.weights.to_bytes()
    places = [("acme", "support"), ("other", "support")]
    assert await book.names(places) == [name, ""]
    await book.put("acme", "support", replace(FIT, proof=None))
    assert await book.names(places) != [name, ""]
    assert 0 < await store.ttl(keys.fit("acme", "support")) <= FIT_TTL / SECOND


@pytest.mark.parametrize("damage", [lambda data: data[:300], lambda _: b"x" * 40, lambda _: b""])
async def test_a_fit_that_cannot_be_read_is_none(store: Redis, damage) -> None:
    """It keeps its name, so that it is not read again and again."""
    await store.set(keys.fit("acme", "support"), damage(fits.encode(FIT)))
    name, read = await FitBook(store).get("acme", "support")
    assert read is None
    assert await FitBook(store).names([("acme", "support")]) == [name]
