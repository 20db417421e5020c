from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from costsvc.core.odds import foresee, inherited, known_of
from costsvc.core.reuse import LONG, MOST_USES, NEW, Reuse, Sighting, gap_row, settle, unpack

GAPS = st.lists(st.integers(0, 10_000), max_size=60)


def watched(gaps: list[int], kin: str = "system.0") -> tuple[dict[bytes, Reuse], dict[str, Reuse]]:
    """Return the statistics after uses of one prefix with these gaps between them."""
    states: dict[bytes, Reuse] = {}
    kinds: dict[str, Reuse] = {}
    at_s = 1_000_000
    for gap in [0, *gaps]:
        at_s += gap
        settle(states, kinds, [Sighting(digest=b"a", kin=kin, at_s=at_s)])
    return states, kinds


@settings(deadline=None)
@given(GAPS)
def test_a_state_is_read_as_it_was_stored(gaps: list[int]) -> None:
    """In at most 250 bytes."""
    states, kinds = watched(gaps)
    for state in (states[b"a"], kinds["system.0"]):
        assert unpack(state.pack()) == state
        assert len(state.pack()) <= 250


@settings(deadline=None)
@given(GAPS)
def test_odds_are_probabilities(gaps: list[int]) -> None:
    """And no use within the hour is less likely than one within 5 minutes."""
    states, kinds = watched(gaps)
    for own in (None, states[b"a"]):
        odds = foresee(own, known_of(kinds["system.0"], "system.0"), 2_000_000)
        assert 0 <= odds.within_5m <= odds.within_1h <= 1 + 1e-9
        for at in (0, 2, 4):
            assert 0 <= odds[at] <= odds[at] + odds[at + 1] <= 1 + 1e-9


def test_odds_come_near_what_happens() -> None:
    """Three of four gaps within 5 minutes, the rest in the hour."""
    states, kinds = watched([60, 60, 60, 900] * 25)
    odds = foresee(states[b"a"], known_of(kinds["system.0"], "system.0"), states[b"a"].last_s + 60)
    assert 0.6 < odds.within_5m < 0.8
    assert odds.within_1h > 0.95


def test_what_never_comes_again_is_soon_given_up() -> None:
    """Two prefixes that nobody used twice, and the next of their kind is not worth a write."""
    states: dict[bytes, Reuse] = {}
    kinds: dict[str, Reuse] = {}
    odds = [foresee(None, known_of(None, "system.0"), 0)]
    for call in range(3):
        settle(states, kinds, [Sighting(digest=bytes([call]), kin="system.0", at_s=call)])
        odds.append(foresee(None, known_of(kinds["system.0"], "system.0"), call))
    assert odds[0].within_5m > 0.22 > odds[2].within_5m > odds[3].within_5m


def test_bursts_are_told_from_pauses() -> None:
    """After a pause another follows; after a short gap, another short one."""
    states, kinds = watched([*[10] * 9, 90_000] * 60)
    kind = known_of(kinds["system.0"], "system.0")
    own = states[b"a"]
    in_burst, after = foresee(own, kind, own.last_s + 10), foresee(own, kind, own.last_s + 90_000)
    assert in_burst.within_5m + 0.02 < after.within_5m


def test_a_turn_takes_over_its_conversation() -> None:
    """The next turn's end begins with the counters of the one that it continues; a branch does not."""
    states, kinds = watched([], kin="tail")
    for turn in range(1, 6):
        last, new = (b"a" if turn == 1 else bytes([turn - 1])), bytes([turn])
        at_s = 1_000_000 + 60 * turn
        settle(
            states,
            kinds,
            [
                Sighting(digest=last, kin="history", at_s=at_s, moves=True),
                Sighting(digest=new, kin="tail", at_s=at_s, parent=last),
            ],
        )
    assert states[bytes([5])].counts[:6] == (1, 1, 0, 5, 4, 0)
    assert kinds["tail"].counts == states[bytes([5])].counts
    assert inherited(states[bytes([4])]) is None
    assert inherited(states[bytes([5])]) is not None


@settings(deadline=None)
@given(st.lists(st.integers(0, 10_000), min_size=200, max_size=300))
def test_counters_are_bounded(gaps: list[int]) -> None:
    """A full row is halved."""
    states, _ = watched(gaps)
    assert max(states[b"a"].counts) <= MOST_USES


def test_reads_that_do_not_come_true_are_remembered() -> None:
    """What the provider does not find is not believed to live, and promises less."""
    states, kinds = watched([10] * 20)
    own = states[b"a"]
    before = foresee(own, known_of(kinds["system.0"], "system.0"), own.last_s)
    warm = Sighting(digest=b"a", kin="system.0", at_s=own.last_s, warm_until_s=own.last_s + 300)
    settle(states, kinds, [warm])
    assert states[b"a"].warm_until_s == own.last_s + 300
    for _ in range(60):
        settle(states, kinds, [Sighting(digest=b"a", kin="system.0", at_s=own.last_s, tried=True)])
    assert states[b"a"].warm_until_s == 0
    after = foresee(states[b"a"], known_of(kinds["system.0"], "system.0"), own.last_s)
    assert after.within_5m < before.within_5m / 4


def test_rows_go_by_the_gap() -> None:
    """A use that settles late counts as one that came at once."""
    own = Reuse(last_s=1_000)
    assert [gap_row(own, 1_000 + gap) for gap in (-50, 0, 300, 301, 3_600, 3_601)] == [1, 1, 1, 2, 2, LONG]
    assert own.row == NEW
