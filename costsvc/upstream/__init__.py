"""The provider: its ports on the `anthropic` SDK, which nothing outside this folder imports.

The SDK costs about a second and 70 MB to import, so only a process that makes an upstream pays for it.
"""

from __future__ import annotations

from costsvc.ports import BatchUpstream, Upstream


def anthropic_upstream(*, api_key: str, base_url: str | None = None, max_connections: int = 1000) -> Upstream:
    """Return the provider's Messages API behind `base_url` (the public one when None)."""
    from costsvc.upstream.messages import AnthropicUpstream  # noqa: PLC0415 - the lazy import is the purpose

    return AnthropicUpstream(api_key=api_key, base_url=base_url, max_connections=max_connections)


def anthropic_batches(*, api_key: str, base_url: str | None = None) -> BatchUpstream:
    """Return the provider's Message Batches API, on connections of its own."""
    from costsvc.upstream.batches import AnthropicBatches  # noqa: PLC0415 - as above

    return AnthropicBatches(api_key=api_key, base_url=base_url)
