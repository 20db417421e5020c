"""Files of batches: the provider's own JSONL in, and its results out, a line at a time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO

from costsvc.cli.refusal import CANNOT_START, Refusal
from costsvc.core.json_text import parse_object
from costsvc.v1 import (
    BATCH_OUTCOME_ERRORED,
    BATCH_OUTCOME_REFUSED,
    BATCH_OUTCOME_SUCCEEDED,
    BatchItemResult,
    BatchOptions,
    BatchOutcome,
    CreateBatchStreamRequest,
    Request,
)

_MESSAGE_BYTES, _MESSAGE_ITEMS = 1 << 20, 500
_MEMBERS = frozenset({"custom_id", "params"})


async def messages(
    file: IO[bytes], options: BatchOptions, dressed: Request, read: Callable[[int], None]
) -> AsyncIterator[CreateBatchStreamRequest]:
    """Yield the messages of a file that is checked; each request is `dressed` with what the options say.

    `read` is told of how many bytes were read.
    """
    yield CreateBatchStreamRequest(options=options)
    message, size = CreateBatchStreamRequest(), 0
    file.seek(0)
    for line in file:
        read(len(line))
        if not line.strip():
            continue
        custom_id, params = _members(line)
        item = message.requests.add(custom_id=custom_id, request=dressed)
        item.request.messages_json = params
        size += len(line)
        if size >= _MESSAGE_BYTES or len(message.requests) >= _MESSAGE_ITEMS:
            yield message
            message, size = CreateBatchStreamRequest(), 0
    yield message


def check(file: IO[bytes], name: str) -> None:
    """Read a file once, before anything of it is sent.

    Raises:
        Refusal: a line is not what the provider takes.
    """
    for number, line in enumerate(file, 1):
        try:
            if line.strip():
                _members(line)
        except ValueError as error:
            raise Refusal(f"{name}, line {number}: {error}", CANNOT_START) from None


def result_line(result: BatchItemResult) -> bytes:
    """Return a result as the provider writes it; `refused` is a kind of our own."""
    head = b'{"custom_id":%s,"result":' % json.dumps(result.custom_id).encode()
    if result.outcome == BATCH_OUTCOME_SUCCEEDED:
        return b'%s{"type":"succeeded","message":%s}}\n' % (head, result.message_json)
    kind = BatchOutcome.Name(result.outcome).removeprefix("BATCH_OUTCOME_").lower()
    told: dict[str, object] = {"type": kind}
    if result.outcome in {BATCH_OUTCOME_ERRORED, BATCH_OUTCOME_REFUSED}:
        error = {"type": "invalid_request_error", "message": result.error.message}
        told["error"] = {"type": "error", "error": error}
    return head + json.dumps(told, separators=(",", ":")).encode() + b"}\n"


def open_file(path: Path) -> IO[bytes]:
    """Open a file of requests."""
    try:
        return path.open("rb")
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}", CANNOT_START) from error


def _members(line: bytes) -> tuple[str, bytes]:
    """Return custom id and params, as they are written; ValueError says what is wrong."""
    members = parse_object(line)
    if members.keys() != _MEMBERS or not isinstance(members["custom_id"].value, str):
        raise ValueError("it must have a custom_id and params, and nothing else")
    return members["custom_id"].value, members["params"].text.encode()
