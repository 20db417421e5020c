"""Those who want the answer of a running call: its caller, and whoever joins it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Audience:
    """Counts them, and says when the last has gone. Whoever joins later counts again."""

    def __init__(self) -> None:
        self._count = 0
        self._act: Callable[[], None] | None = None

    @property
    def is_gone(self) -> bool:
        """Whether nobody wants the answer."""
        return not self._count

    @contextmanager
    def member(self) -> Iterator[None]:
        """Count as one who wants the answer, until it is there or one leaves without it."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            if self.is_gone and self._act is not None:
                self._act()

    @contextmanager
    def when_gone(self, act: Callable[[], None]) -> Iterator[None]:
        """Call `act`, which must not wait, whenever the last has gone; one at a time may ask for that."""
        self._act = act
        try:
            yield
        finally:
            self._act = None
