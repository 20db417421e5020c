"""Structured logs: JSON lines on standard error, readable ones on a terminal.

The edge writes exactly one line an RPC, event `rpc`; anything else is a change of state. A line never holds a
prompt, a completion or a key: tracebacks are written without the values of variables.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

FLUSH_S = 0.05

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


def configure_logs(
    *,
    stream: TextIO | None = None,
    pretty: bool | None = None,
    level: str = "info",
    flush_s: float = FLUSH_S,
) -> None:
    """Send everything to a stream (standard error), readable where it is a terminal unless `pretty` says.

    Our own lines do not pass through the standard library's logging, which costs several times as much;
    what libraries log there comes out the same way, from WARNING on.
    """
    out = stream or sys.stderr
    lines = _Lines(out, flush_s)
    atexit.register(lines.flush_now)
    readable = out.isatty() if pretty is None else pretty
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *_rendering(readable)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(lines),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    _route_libraries(out, shared, readable)


class _Lines:
    """Writes lines together: a system call a line would cost a call as much as all its decisions.

    Inside an event loop they wait for up to `flush_s`; elsewhere they are written at once. What a kill loses
    is lines, never money.
    """

    def __init__(self, out: TextIO, flush_s: float) -> None:
        self._out = out
        self._flush_s = flush_s
        self._waiting: list[str] = []
        self._flushes_in: asyncio.AbstractEventLoop | None = None

    def write(self, text: str) -> None:
        """Take a line."""
        self._waiting.append(text)
        loop = _running_loop() if self._flush_s else None
        if loop is None:
            self.flush_now()
        elif loop is not self._flushes_in:
            self._flushes_in = loop
            loop.call_later(self._flush_s, self.flush_now)

    def flush(self) -> None:
        """Do nothing: the logger asks after each line."""

    def flush_now(self) -> None:
        """Write what waits."""
        text, self._waiting, self._flushes_in = "".join(self._waiting), [], None
        if text:
            self._out.write(text)
            self._out.flush()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _rendering(readable: bool) -> list[Processor]:
    if readable:
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, _as_json]


def _as_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    timestamp, level, name = event.pop("timestamp"), event.pop("level"), event.pop("event")
    return _encode({"timestamp": timestamp, "level": level, "event": name, **event})


def _route_libraries(out: TextIO, shared: list[Processor], readable: bool) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(readable)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
