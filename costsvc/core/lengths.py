"""How long answers were, for each way of asking: what a missing max_tokens and savings of length go by.

Lengths are kept as they were, the last few hundred of a key, not as running figures: what is asked of them
(a quantile, a mean below a limit, a mean beyond one) depends on a policy that may change.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

WINDOW_CALLS = 200
"""How many answers of a key are remembered."""

LEAST_CALLS = 20
"""Fewer answers say nothing."""


@dataclass(frozen=True, slots=True)
class Quantile:
    """A length that a share of the last `call_count` answers does not exceed; None: more were cut."""

    tokens: int | None
    call_count: int


class Lengths:
    """The last answers' lengths by key; the key unused for longest gives way."""

    def __init__(self, *, capacity: int = 2_000) -> None:
        self._capacity = capacity
        self._seen: OrderedDict[Hashable, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def observe(self, key: Hashable, output_tokens: int, *, is_cut: bool) -> None:
        """Learn from an answer; one that was cut would have been longer than it is."""
        window = self._seen.get(key)
        if window is None:
            window = self._seen[key] = _Window()
            if len(self._seen) > self._capacity:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        window.add(output_tokens, is_cut=is_cut)

    def quantile(self, key: Hashable, share: Fraction) -> Quantile | None:
        """Return a quantile, None where there are too few answers for it.

        A cut answer counts as longer than any, so that a limit made of the quantile cannot creep down by the
        cuts that it makes itself.
        """
        lengths, cut_count = self._of(key)
        count = len(lengths) + cut_count
        if count < max(LEAST_CALLS, ceil(1 / (1 - share))):
            return None
        rank = ceil(share * count)
        return Quantile(sorted(lengths)[rank - 1] if rank <= len(lengths) else None, count)

    def mean(self, key: Hashable, *, most: int) -> int | None:
        """Return the mean length where no answer had more than `most` tokens, None where too few are known.

        Of a cut answer the length that was seen counts, so the mean is rather too small.
        """
        seen = self._all(key)
        if len(seen) < LEAST_CALLS:
            return None
        return _rounded(sum(min(tokens, most) for tokens in seen), len(seen))

    def mean_beyond(self, key: Hashable, limit: int, *, most: int) -> int:
        """Return the mean of what answers longer than `limit` had beyond it, with no more than `most` each.

        0 where too few answers are known, or none of them is longer.
        """
        seen = self._all(key)
        beyond = [min(tokens, most) - limit for tokens in seen if tokens > limit]
        if len(seen) < LEAST_CALLS or not beyond:
            return 0
        return max(_rounded(sum(beyond), len(beyond)), 0)

    def _of(self, key: Hashable) -> tuple[list[int], int]:
        window = self._seen.get(key)
        codes = window.codes if window else ()
        lengths = [code for code in codes if code >= 0]
        return lengths, len(codes) - len(lengths)

    def _all(self, key: Hashable) -> list[int]:
        window = self._seen.get(key)
        return [code if code >= 0 else ~code for code in window.codes] if window else []


class _Window:
    """The last lengths, a cut one as its complement: four bytes an answer."""

    __slots__ = ("codes", "count")

    def __init__(self) -> None:
        self.codes, self.count = array("i"), 0

    def add(self, output_tokens: int, *, is_cut: bool) -> None:
        code = ~output_tokens if is_cut else output_tokens
        if len(self.codes) < WINDOW_CALLS:
            self.codes.append(code)
        else:
            self.codes[self.count % WINDOW_CALLS] = code
        self.count += 1


def _rounded(total: int, count: int) -> int:
    """Divide, and round half up."""
    return (2 * total + count) // (2 * count)
