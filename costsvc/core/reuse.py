"""How often a prefix comes again: a few counters, from which the odds of its next use can be read.

    state = settle(states, sightings)       after an answer: what was seen of each spot of its prompt
    odds = foresee(own, kind, at_s)         core/odds, before a call: will this prefix come again?

Every use has a row: how long ago the one before was (`NEW`, `SHORT` up to 5 minutes, `MEDIUM` up to an
hour, `LONG`). For each row a state counts uses, and after how many of them the next came within 5 minutes,
and within an hour: so a burst, an evening and a steady trickle look different. Arrivals are seen whether or
not a prefix is marked, so nothing is spent on exploring: all that is paid for learning is what the first
few guesses cost.

A prefix that is new is likened to its kin: the spots of the same kind in the same tenant's calls of the same
task, counted in a state of the same form. And the end of a turn goes on where the end of the turn before it
stopped: it takes over that one's counters, so that a conversation has one history however long it gets.

Counters are halved when a row is full, which forgets slowly, without any clock. States are read with the
claim and changed with the settlement, by `settle` run where the states are, in one step: replicas then add
to the same counters, in whichever order they come, and lose nothing. A use that settles after a later one
counts as one that came at once. Without that step (states read, changed and written back) the last writer
wins, and what is lost are whole observations, which biases nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, replace

NEW, SHORT, MEDIUM, LONG = range(4)
_SLOTS, _SLOT_S, _DAY_S = 6, 14_400, 86_400
_SATURDAY = 5
FIVE_MINUTES_S, ONE_HOUR_S = 300, 3600
ROWS = range(LONG + 2 * _SLOTS)
_SHORT, _MEDIUM, WIDTH = 1, 2, 3
MOST_USES, MOST_TRIES = 120, 60


@dataclass(frozen=True, slots=True)
class Reuse:
    """What is known of one prefix, or of a kind of them, of which only the counters count.

    `row` is that of the last use, and `counted` whether the kin waits for what follows it. The provider's
    entry is believed to live until `warm_until_s`; of `tried` reads that were relied on, `read` came true.
    `counts` holds for each row: uses, next within 5 minutes, next within the hour but not so soon.
    """

    last_s: int = 0
    row: int = NEW
    kin: str = ""
    counted: bool = False
    warm_until_s: int = 0
    one_hour: bool = False
    tried: int = 0
    read: int = 0
    counts: tuple[int, ...] = (0,) * (WIDTH * len(ROWS))

    def pack(self) -> str:
        """Return the state as it is stored, in about 60 bytes."""
        head = (self.last_s, self.row, self.kin or "-", int(self.counted), self.warm_until_s)
        return " ".join(map(str, (*head, int(self.one_hour), self.tried, self.read, *self.counts)))


def unpack(text: str) -> Reuse:
    """Return a stored state.

    Raises:
        ValueError: it is not one.
    """
    last_s, row, kin, counted, warm_until_s, one_hour, tried, read, *counts = text.split(" ")
    if len(counts) != WIDTH * len(ROWS) or int(row) not in ROWS:
        raise ValueError(f"not the statistics of a prefix: {text[:80]!r}")
    return Reuse(
        int(last_s),
        int(row),
        "" if kin == "-" else kin,
        counted == "1",
        int(warm_until_s),
        one_hour == "1",
        int(tried),
        int(read),
        tuple(map(int, counts)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One use of one prefix, as a settled call saw it.

    `parent` is the prefix that this one continues, as a conversation's next turn does, and `moves` says of
    that parent that it was continued. `tried` where a read was relied on, and `read` where it came true.
    """

    digest: bytes
    kin: str
    at_s: int
    parent: bytes | None = None
    moves: bool = False
    warm_until_s: int = 0
    one_hour: bool = False
    tried: bool = False
    read: bool = False


def settle(
    states: MutableMapping[bytes, Reuse], kin: MutableMapping[str, Reuse], sightings: Iterable[Sighting]
) -> None:
    """Take the sightings of one call into account, in prompt order; a parent comes before its child."""
    continued: set[bytes] = set()
    for seen in sightings:
        own = states.get(seen.digest)
        if own is not None:
            if seen.moves and own.counted:
                continued.add(seen.digest)
            own = _again(own, kin, seen)
        elif seen.parent is not None and seen.parent in continued:
            own = replace(states[seen.parent], kin=seen.kin, warm_until_s=0, tried=0, read=0)
        else:
            own = _use(Reuse(kin=seen.kin), NEW)
        if not seen.moves:
            kin[own.kin] = _use(kin.get(own.kin, Reuse()), own.row)
        own = replace(own, last_s=max(own.last_s, seen.at_s), counted=not seen.moves)
        states[seen.digest] = _warmed(own, seen)
        if seen.tried:
            kin[own.kin] = _tried(kin.get(own.kin, Reuse()), seen.read)


def _again(own: Reuse, kin: MutableMapping[str, Reuse], seen: Sighting) -> Reuse:
    """Return a known state after one more use; its kin learns what followed the use before."""
    row = gap_row(own, seen.at_s)
    if own.counted:
        kin[own.kin] = _followed(kin.get(own.kin, Reuse()), own.row, row)
    return _use(replace(_followed(own, own.row, row), row=row), row)


def gap_row(own: Reuse, at_s: int) -> int:
    """Return the row of a use at an instant, by the time since the last."""
    gap_s = at_s - own.last_s
    if gap_s <= FIVE_MINUTES_S:
        return SHORT
    if gap_s <= ONE_HOUR_S:
        return MEDIUM
    weekday = (at_s // _DAY_S + 3) % 7  # the epoch began on a Thursday
    return LONG + at_s % _DAY_S // _SLOT_S + (_SLOTS if weekday >= _SATURDAY else 0)


def _followed(state: Reuse, row: int, by: int) -> Reuse:
    if by >= LONG:
        return state
    return _add(state, WIDTH * row + (_SHORT if by == SHORT else _MEDIUM))


def _use(state: Reuse, row: int) -> Reuse:
    at = WIDTH * row
    state = _add(state, at)
    if state.counts[at] <= MOST_USES:
        return state
    counts = list(state.counts)
    counts[at : at + WIDTH] = [count // 2 for count in counts[at : at + WIDTH]]
    return replace(state, counts=tuple(counts), tried=state.tried // 2, read=state.read // 2)


def _add(state: Reuse, at: int) -> Reuse:
    counts = list(state.counts)
    counts[at] += 1
    return replace(state, counts=tuple(counts))


def _warmed(own: Reuse, seen: Sighting) -> Reuse:
    if seen.warm_until_s > own.warm_until_s:
        own = replace(own, warm_until_s=seen.warm_until_s, one_hour=seen.one_hour)
    elif seen.tried and not seen.read:
        own = replace(own, warm_until_s=0)
    return _tried(own, seen.read) if seen.tried else own


def _tried(state: Reuse, read: bool) -> Reuse:
    tried, came = state.tried + 1, state.read + read
    if tried > MOST_TRIES:
        tried, came = tried // 2, came // 2
    return replace(state, tried=tried, read=came)
