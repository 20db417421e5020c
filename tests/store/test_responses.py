"""Tests of stored answers, of who leads, and of what is invalidated, against a real server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from costsvc.core.errors import StoreUnavailable
from costsvc.core.response_key import Scope
from costsvc.store import epochs as epochs_module
from costsvc.store import keys, response_codec
from costsvc.store.connection import open_store
from costsvc.store.epochs import EVERYTHING, Epochs, label_scope, scope_of
from costsvc.store.near_answers import NearPlace
from costsvc.store.response_codec import COMPRESSED_ABOVE_BYTES, StoredAnswer
from costsvc.store.responses import LEAD, Place, Responses, Turn, cache_secret

AT = datetime(2026, 3, 4, 12, 30, 0, 1000, tzinfo=UTC)
PLACE = Place(Scope(tenant="acme", namespace="faq", epoch=7), "f" * 64)
ANSWER = StoredAnswer(
    tenant="acme",
    fingerprint=PLACE.fingerprint,
    response_id="r1",
    model="small",
    stored_at=AT,
    version=7,
    labels={"team": "a"},
    message_json=b'{"content":[]}',
)
HOUR = timedelta(hours=1)


@pytest.fixture
def responses(store: Redis) -> Responses:
    """Give the stored answers of an empty store."""
    return Responses(store)


@pytest.fixture
def epochs(store: Redis, monkeypatch: pytest.MonkeyPatch) -> Epochs:
    """Give the numbers of an empty store, which are fresh for a moment only."""
    monkeypatch.setattr(epochs_module, "FRESH_S", 0.05)
    return Epochs(store)


WORD = st.text("ab.-_09", min_size=1, max_size=4)
PLACES = st.builds(
    Place,
    st.builds(Scope, tenant=WORD, namespace=WORD, epoch=st.integers(0, 10**15)),
    st.text("0123456789abcdef", min_size=1, max_size=4),  # much shorter than real ones, so that they meet
)


@given(PLACES, PLACES)
def test_no_two_places_share_a_key(one: Place, other: Place) -> None:
    """Keys are equal only where tenant, namespace, epoch and request are; and no kind's is another's."""
    near = [NearPlace(place.scope, place.fingerprint) for place in (one, other)]
    assert (one.answer == other.answer) == (one == other)
    assert (one.lead == other.lead) == (one == other)
    assert (near[0].answer == near[1].answer) == (one == other)
    kinds = [one.answer, one.lead, near[0].answer, near[0].blocked, keys.near_audit(other.scope.prefix)]
    assert len(set(kinds)) == len(kinds)


async def test_a_stored_answer_is_found_whole(responses: Responses) -> None:
    """Whoever looks it up gets it, and nobody leads."""
    await responses.keep(PLACE, ANSWER, ttl=HOUR, token="t")
    assert await responses.look_up(PLACE, token="x") == ANSWER
    assert await responses.look_up(PLACE) == ANSWER
    assert await responses.read(PLACE) == ANSWER


async def test_of_many_that_miss_at_once_one_leads(responses: Responses) -> None:
    """The others follow, until the lead is given up; then another one leads."""
    turns = await asyncio.gather(*(responses.look_up(PLACE, token=f"t{n}") for n in range(20)))
    assert sorted(turn.name for turn in turns if isinstance(turn, Turn)) == ["FOLLOW"] * 19 + ["LEAD"]
    leader = f"t{turns.index(Turn.LEAD)}"
    assert await responses.look_up(PLACE, token=leader) is Turn.LEAD
    assert await responses.look_up(PLACE) is Turn.FOLLOW
    await responses.give_up(PLACE, "another")
    assert await responses.look_up(PLACE) is Turn.FOLLOW
    await responses.give_up(PLACE, leader)
    assert await responses.look_up(PLACE) is Turn.NONE
    assert await responses.look_up(PLACE, token="next") is Turn.LEAD


async def test_storing_the_answer_ends_the_lead(responses: Responses) -> None:
    """Of the leader; one who leads by now goes on."""
    assert await responses.look_up(PLACE, token="t") is Turn.LEAD
    await responses.keep(PLACE, ANSWER, ttl=HOUR, token="t")
    assert not await responses.lead_on(PLACE, "t")
    assert await responses.take_turn(PLACE, "u") is Turn.LEAD
    await responses.keep(PLACE, ANSWER, ttl=HOUR, token="t")
    assert await responses.lead_on(PLACE, "u")


async def test_a_dead_leaders_lead_passes_on(responses: Responses, store: Redis) -> None:
    """It ends by itself unless it is renewed."""
    assert await responses.look_up(PLACE, token="t") is Turn.LEAD
    await store.pexpire(PLACE.lead, 10)
    assert await responses.lead_on(PLACE, "t")
    assert await store.pttl(PLACE.lead) > LEAD / timedelta(milliseconds=1) / 2
    await store.pexpire(PLACE.lead, 0)
    assert await responses.look_up(PLACE, token="u") is Turn.LEAD
    assert not await responses.lead_on(PLACE, "t")


async def test_everything_has_a_time_to_live_that_varies(responses: Responses, store: Redis) -> None:
    """At most the namespace's, and up to a tenth less; epochs and leads have one, too."""
    await Epochs(store).ask()
    left = set()
    for n in range(20):
        place = replace(PLACE, fingerprint=f"{n}")
        await responses.keep(place, ANSWER, ttl=HOUR, token="t")
        await responses.look_up(replace(PLACE, fingerprint=f"other{n}"), token="t")
        left.add(await store.pttl(place.answer) // 1000)
    assert max(left) <= 3600
    assert min(left) >= 3239
    assert len(left) > 10
    assert all([await store.pttl(key) > 0 for key in await store.keys("*")])


@pytest.mark.parametrize(
    "change", [{"tenant": "evil"}, {"fingerprint": "e" * 64}], ids=["tenant", "fingerprint"]
)
async def test_an_answer_that_belongs_elsewhere_is_never_served(
    responses: Responses, store: Redis, change: dict[str, Any]
) -> None:
    """What lies in the wrong place counts as missing, and the caller leads."""
    await store.set(PLACE.answer, response_codec.encode(replace(ANSWER, **change)))
    assert await responses.read(PLACE) is None
    assert await responses.look_up(PLACE) is Turn.NONE
    assert await responses.look_up(PLACE, token="t") is Turn.LEAD


@pytest.mark.parametrize("data", [b"", b"p", b"z123", b"p{}\n", b'p{"v":2}\n', b"p[]\n", b"p3\nx"])
async def test_an_answer_that_cannot_be_read_counts_as_missing(
    responses: Responses, store: Redis, data: bytes
) -> None:
    """Whoever wrote it: the caller asks the provider."""
    await store.set(PLACE.answer, data)
    assert await responses.look_up(PLACE, token="t") is Turn.LEAD


async def test_an_evicted_answer_is_gone(responses: Responses) -> None:
    """And evicting it again finds none."""
    await responses.keep(PLACE, ANSWER, ttl=HOUR, token="t")
    assert await responses.evict(PLACE)
    assert not await responses.evict(PLACE)
    assert await responses.read(PLACE) is None


@given(
    st.builds(
        StoredAnswer,
        tenant=st.text(),
        fingerprint=st.text(),
        response_id=st.text(),
        model=st.text(),
        stored_at=st.integers(0, 10**13).map(lambda ms: AT + timedelta(milliseconds=ms)),
        version=st.integers(),
        labels=st.dictionaries(st.text(), st.text(), max_size=3),
        question=st.just(""),
        message_json=st.binary(max_size=100) | st.binary(min_size=3000, max_size=3000),
    )
    | st.just(replace(ANSWER, question="What is it?", rules=("case",)))
)
def test_an_answer_comes_back_as_it_was(answer: StoredAnswer) -> None:
    """Small or large, whatever is in it."""
    assert response_codec.decode(response_codec.encode(answer)) == answer


def test_large_answers_are_compressed() -> None:
    """Small ones are not: that would cost more than it saves."""
    large = replace(ANSWER, message_json=b"x" * COMPRESSED_ABOVE_BYTES)
    assert len(response_codec.encode(large)) < 200
    assert ANSWER.message_json in response_codec.encode(ANSWER)


async def test_all_replicas_have_one_secret(store: Redis) -> None:
    """The first creates it, at the same time or later, and it never ends."""
    secrets = set(await asyncio.gather(*(cache_secret(store) for _ in range(10))))
    assert len(secrets) == 1
    assert secrets == {await cache_secret(store)}
    assert len(secrets.pop()) == 64
    assert await store.ttl(keys.CACHE_SECRET) == -1


SCOPES = {
    EVERYTHING: {"acme/faq", "acme/other", "b/faq"},
    scope_of("acme"): {"acme/faq", "acme/other"},
    scope_of("acme", "faq"): {"acme/faq"},
    label_scope("acme", "team", "a"): set(),
}


@pytest.mark.parametrize("scope", SCOPES)
async def test_what_is_invalidated_gets_a_new_epoch_on_every_replica(
    store: Redis, epochs: Epochs, scope: str
) -> None:
    """And nothing else does; asking again changes nothing."""
    other = Epochs(store)

    async def seen(by: Epochs) -> dict[str, Scope]:
        numbers = await by.numbers()
        return {name: numbers.scope(*name.split("/")) for name in ("acme/faq", "acme/other", "b/faq")}

    before = await seen(other)
    await epochs.invalidate(scope)
    after = await seen(other)
    assert {name for name in before if before[name] != after[name]} == SCOPES[scope]
    assert after == await seen(epochs) == await seen(other)


async def test_labels_are_invalidated_for_what_was_asked_before(epochs: Epochs) -> None:
    """Of their tenant only; what is asked from then on is kept again."""
    before = await epochs.numbers()
    assert before.spare("acme", {"team": "a"}, before.version)
    await epochs.invalidate(label_scope("acme", "team", "a"))
    after = await epochs.numbers()
    assert not after.spare("acme", {"x": "y", "team": "a"}, before.version)
    assert after.spare("acme", {"team": "b"}, before.version)
    assert after.spare("b", {"team": "a"}, before.version)
    assert after.spare("acme", {"team": "a"}, after.version)


async def test_lost_numbers_invalidate_everything(store: Redis, epochs: Epochs) -> None:
    """After an eviction or a fail-over no old epoch comes back."""
    await epochs.invalidate(scope_of("acme"))
    before = (await epochs.numbers()).scope("b", "faq")
    await store.delete(keys.CACHE_EPOCHS)
    await epochs.ask()
    numbers = await epochs.numbers()
    assert numbers.scope("b", "faq").epoch > before.epoch
    assert not numbers.spare("acme", {}, 0) or numbers.scope("acme", "faq").epoch == numbers.version


async def test_numbers_rise_also_where_the_servers_clock_went_back(store: Redis, epochs: Epochs) -> None:
    """A version is never used twice."""
    await epochs.ask()
    far = (await epochs.numbers()).version + 10**9
    await store.hset(keys.CACHE_EPOCHS, "version", far)
    await epochs.invalidate(EVERYTHING)
    assert (await epochs.numbers()).scope("acme", "faq").epoch == far + 1


async def test_more_scopes_than_are_told_apart_invalidate_everything(
    store: Redis, epochs: Epochs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So their number is bounded, whatever labels are invalidated."""
    monkeypatch.setattr(epochs_module, "MOST_SCOPES", 5)
    monkeypatch.setattr(epochs_module, "FRESH_S", 0.0)
    before = (await epochs.numbers()).scope("b", "faq")
    for n in range(8):
        await epochs.invalidate(label_scope("acme", "n", f"{n}"))
    assert (await epochs.numbers()).scope("b", "faq").epoch > before.epoch
    assert await store.hlen(keys.CACHE_EPOCHS) <= 6


async def test_numbers_that_are_not_fresh_are_not_used(epochs: Epochs) -> None:
    """Where the store cannot be asked, nothing may be looked up."""
    await epochs.numbers()
    epochs._client = open_store("unix:///nowhere")
    await asyncio.sleep(epochs_module.FRESH_S)
    with pytest.raises(StoreUnavailable):
        await epochs.numbers()
