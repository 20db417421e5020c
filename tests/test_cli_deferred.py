"""`costsvc defer` and `costsvc deferred` against a real service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.test_cli import RAKE, SIMULATED, program, start, stop


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Give the option that names a running service."""
    process, ready = start(*SIMULATED, "--data-dir", tmp_path_factory.mktemp("service"))
    yield ("--target", ready["listen"])
    stop(process)


def test_defer_waits_for_the_answer_where_it_is_told_to(target: tuple[str, str]) -> None:
    """The answer and its bill are those of complete."""
    result = program("defer", *RAKE, "--tolerance", "1m", "--wait", *target)
    assert result.returncode == 0
    assert result.stdout
    assert "cost $0." in result.stderr


def test_a_deferred_request_is_shown_and_taken_back(target: tuple[str, str]) -> None:
    """By the id that defer prints."""
    asked = program("defer", "Sort these stamps.", "--tolerance", "24h", *target).stdout
    deferred_id = asked.split()[0]
    shown = program("deferred", "get", deferred_id, *target).stdout
    assert asked == shown
    assert asked.startswith(f"{deferred_id} queued, answered by 20")
    assert program("deferred", "cancel", deferred_id, *target).stdout == f"{deferred_id} canceled\n"


def test_what_cannot_be_deferred_is_said_in_a_sentence(target: tuple[str, str]) -> None:
    """With the reason, and nothing on standard output."""
    result = program("defer", *RAKE, "--tolerance", "30d", *target)
    assert (result.returncode, result.stdout) == (1, "")
    assert "tolerance" in result.stderr
