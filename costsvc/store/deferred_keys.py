"""The keys of deferred requests: a part of `keys.py`, by its rules.

They share a tag, because the queue changes with its requests. They have no time to live until a request is
answered: its caller was promised an answer, so no server short of memory may forget it. Then all has one.
"""

from __future__ import annotations

TAG = "{deferred}"

OPEN = f"{TAG}:open"
"""A sorted set: ids of what is not answered, by its deadline, milliseconds since 1970."""
CHANGES = f"{TAG}:changes"
"""A sorted set: id by the number of its last change; what the leader has read is taken out."""
NUMBER = f"{TAG}:number"
"""The number of the last change."""
BYTES = f"{TAG}:bytes"
"""How many bytes of requests the queue has."""
RAN = f"{TAG}:ran"
"""A list: how long batches of late took, the last one first."""
LEADER = f"{TAG}:leader"
"""The lease of whoever decides about the queue: `<end, milliseconds since 1970> <owner>`."""
WEBHOOKS = f"{TAG}:webhooks"
"""A sorted set: `<failures>\\n<id>` by when it is to be posted, milliseconds since 1970."""


def item(member: str) -> str:
    """Return the hash of what is known of a deferred request; a member of the queue is `<tenant>:<id>`."""
    return f"{TAG}:item:{member}"


def request(member: str) -> str:
    """Return the text of a deferred request, until it is answered."""
    return f"{TAG}:request:{member}"


def answer(member: str) -> str:
    """Return the text of what answered a deferred request, or of why nothing did."""
    return f"{TAG}:answer:{member}"
