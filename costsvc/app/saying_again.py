"""A whole answer as a stream, for who asked for one."""

from __future__ import annotations

from collections.abc import Iterator

from costsvc.app.attempt import Completed, Started
from costsvc.core.json_text import to_json
from costsvc.core.replay import replay


def said_again(completed: Completed, *, provider_events: bool) -> Iterator[Started | list[str]]:
    """Yield a whole answer as the beginning and the pieces of a stream."""
    yield Started(
        attempt=completed.attempt,
        provider_request_id=completed.provider_request_id,
        is_replay=completed.is_replay,
        origin=completed.origin,
    )
    if provider_events:
        yield [to_json(event) for event in replay(completed.message)]
    elif completed.text:
        yield [completed.text]
