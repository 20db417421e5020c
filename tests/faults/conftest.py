"""What tests of faults share: a way to be heard."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Give the way to tell whoever runs the tests something that pytest does not keep to itself."""

    def speak(line: str) -> None:
        with capsys.disabled():
            print(line)  # noqa: T201 - the seed has to be seen

    return speak
