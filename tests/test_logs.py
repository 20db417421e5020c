"""Tests of what a log line looks like, and what it costs."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator
from time import process_time

import pytest
import structlog

from costsvc.logs import configure_logs

RPC = {
    "method": "Complete",
    "code": "OK",
    "ms": 12.3,
    "tenant": "default",
    "request_id": "r-123",
    "response_id": "rsp_abcdef",
    "model": "claude-sonnet-5-5",
    "tier": "medium",
    "cost_nano_usd": 123456,
    "cache": "disabled",
    "outcome": "ok",
}


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Put logging back, which is global."""
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    yield
    logging.captureWarnings(capture=False)
    root.handlers, root.level = handlers, level
    structlog.configure(**config)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    """Return the lines as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object() -> None:
    """It begins with when, how bad and what, and keeps the order of the rest; text is readable."""
    out = io.StringIO()
    configure_logs(stream=out, pretty=False)
    structlog.get_logger().info("rpc", **RPC, note="café\nline")
    (line,) = lines(out)
    assert list(line) == ["timestamp", "level", "event", *RPC, "note"]
    assert str(line["timestamp"]).endswith("Z")
    assert "café" in out.getvalue()


async def test_lines_inside_a_loop_are_written_together() -> None:
    """They come out in their order, once the loop gets to it, in one write."""
    writes: list[str] = []

    class Out(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text)
            written.set()
            return len(text)

    written = asyncio.Event()
    configure_logs(stream=Out(), pretty=False, flush_s=0.01)
    for number in range(3):
        structlog.get_logger().info("rpc", number=number)
    assert not writes
    await written.wait()
    assert [json.loads(line)["number"] for line in "".join(writes).splitlines()] == [0, 1, 2]
    assert len(writes) == 1


def test_debug_lines_are_left_out() -> None:
    """They are for builders."""
    out = io.StringIO()
    configure_logs(stream=out, pretty=False)
    structlog.get_logger().debug("detail")
    assert out.getvalue() == ""


def test_a_traceback_has_no_values_of_variables() -> None:
    """A variable may hold a prompt or a key."""
    out = io.StringIO()
    configure_logs(stream=out, pretty=False)
    prompt = "my secret prompt"
    try:
        _ = prompt + str(1 // 0)
    except ZeroDivisionError:
        structlog.get_logger().exception("defect")
    (line,) = lines(out)
    assert "ZeroDivisionError" in str(line["exception"])
    assert prompt not in str(line)


def test_libraries_log_the_same_way_from_warning_on() -> None:
    """Their lines are JSON too, with the library's name; information of theirs is noise."""
    out = io.StringIO()
    configure_logs(stream=out, pretty=False)
    logging.getLogger("aiohttp.access").info("noise")
    logging.getLogger("asyncio").warning("slow %s", "callback")
    (line,) = lines(out)
    assert (line["event"], line["logger"], line["level"]) == ("slow callback", "asyncio", "warning")


def test_python_warnings_are_lines_too() -> None:
    """A deprecation of a library is not written between the lines."""
    out = io.StringIO()
    configure_logs(stream=out, pretty=False)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old", stacklevel=1)
    (line,) = lines(out)
    assert "old" in str(line["event"])


def test_a_terminal_gets_readable_lines() -> None:
    """Not JSON."""
    out = io.StringIO()
    configure_logs(stream=out, pretty=True)
    structlog.get_logger().info("ready", listen="127.0.0.1:1")
    assert "ready" in out.getvalue()
    assert not out.getvalue().startswith("{")


def test_a_line_is_cheap() -> None:
    """About 10 us of CPU: the best of a few rounds stays below 50 on any machine that runs tests."""
    configure_logs(stream=io.StringIO(), pretty=False)
    log = structlog.get_logger()
    rounds_s = []
    for _ in range(5):
        start = process_time()
        for _ in range(500):
            log.info("rpc", **RPC)
        rounds_s.append((process_time() - start) / 500)
    assert min(rounds_s) < 50e-6
