"""Tests of who wants an answer."""

from __future__ import annotations

from costsvc.app.audience import Audience


def test_the_last_to_go_is_noticed_each_time():
    """One who leaves while another stays is no event; one who joins later counts again."""
    audience, gone = Audience(), []
    with audience.when_gone(lambda: gone.append(1)):
        with audience.member():
            with audience.member():
                assert not audience.is_gone
            assert (audience.is_gone, gone) == (False, [])
        assert (audience.is_gone, gone) == (True, [1])
        with audience.member():
            assert not audience.is_gone
        assert gone == [1, 1]
    with audience.member():
        pass
    assert gone == [1, 1]
