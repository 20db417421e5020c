from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.mistakes import is_too_wrong, mistake_bound

COUNTS = st.integers(1, 5_000).flatmap(lambda n: st.tuples(st.integers(0, min(n, 50)), st.just(n)))


@pytest.mark.parametrize(
    ("mistakes", "served", "bound"),
    [(0, 0, 1.0), (0, 1, 0.95), (0, 300, 0.00994), (1, 100, 0.04656), (5, 1_000, 0.01048), (7, 7, 1.0)],
)
def test_the_bound_is_clopper_pearsons(mistakes: int, served: int, bound: float) -> None:
    """As statistical tables have it."""
    assert mistake_bound(mistakes, served) == pytest.approx(bound, rel=2e-3)


@given(COUNTS)
def test_the_bound_is_above_what_was_seen_and_falls_with_evidence(counts: tuple[int, int]) -> None:
    """More answers without a mistake lower it, a further mistake raises it."""
    mistakes, served = counts
    bound = mistake_bound(mistakes, served)
    assert mistakes / served <= bound <= 1
    assert mistake_bound(mistakes, served + 1) <= bound + 1e-9
    assert mistake_bound(mistakes + 1, served) >= bound - 1e-9


def test_one_known_mistake_among_few_switches_off() -> None:
    """None known never does; many answers make room for one."""
    most = Fraction(1, 100)
    assert not is_too_wrong(0, 0, most)
    assert is_too_wrong(1, 1, most)
    assert is_too_wrong(1, 300, most)
    assert not is_too_wrong(1, 600, most)
