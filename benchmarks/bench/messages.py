"""What is sent in every measurement."""

from __future__ import annotations

import json

from costsvc import v1

_PARAGRAPH = (
    "My order of two inner tubes and a chain has been on its way for nine days now. The page of the carrier "
    "says that it left the depot on Monday, and nothing since. I wrote to the shop on Wednesday and have "
    "heard nothing. I need the chain before the weekend, because my only bicycle is without one, and I would "
    "rather buy another in town and send yours back than wait for one that never comes. What can I do?"
)
QUESTION = v1.Request(
    messages=[v1.Message(role=v1.ROLE_USER, text=f"{_PARAGRAPH}\n\nIs this a complaint? Answer yes or no.")],
    max_tokens=300,
    task="classification",
    labels={"team": "support"},
)
"""A small request with a short answer."""

ROUTE = v1.RouteRequest(request=QUESTION)
COMPLETE = v1.CompleteRequest(request=QUESTION)
COMPLETE.request.cache_mode = v1.CACHE_MODE_BYPASS  # each is to reach the provider

NAMESPACE = "bench"
POLICY = f"[response_cache.{NAMESPACE}]\nttl_s = 3600\n"
"""What the shipped policy is extended by; calls that name no namespace are not cached."""

HIT = v1.CompleteRequest(request=QUESTION)
"""The same question, answered from the cache after the first time."""
HIT.request.cache_namespace = NAMESPACE

_EXPLAIN = v1.Request(
    messages=[
        v1.Message(text="Explain at length what makes the chain of a bicycle wear out. How can one tell?")
    ],
    max_tokens=2000,
    labels={"team": "support"},
)
STREAM_TEXT = v1.StreamCompleteRequest(request=_EXPLAIN, format=v1.STREAM_FORMAT_TEXT)
STREAM_EVENTS = v1.StreamCompleteRequest(request=_EXPLAIN, format=v1.STREAM_FORMAT_PROVIDER_EVENTS)

BIG_BYTES = 16_000_000


def big_route(shape: str) -> v1.RouteRequest:
    """Return a request of 16 MB: `string` is one message, `messages` are many of 500 bytes."""
    size = {"string": BIG_BYTES - 200, "messages": 460}[shape]
    count = BIG_BYTES // 500 if shape == "messages" else 1
    texts = [
        {"role": ("user", "assistant")[at % 2], "content": "word " * (size // 5)} for at in range(count | 1)
    ]
    body = json.dumps({"max_tokens": 100, "messages": texts}).encode()
    return v1.RouteRequest(request=v1.Request(messages_json=body))
