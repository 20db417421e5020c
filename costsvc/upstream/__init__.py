"""The provider: the Upstream port on the `anthropic` SDK, which nothing outside this folder imports."""

from __future__ import annotations

from costsvc.ports import Upstream


def anthropic_upstream(*, api_key: str, base_url: str | None = None, max_connections: int = 1000) -> Upstream:
    """Return the provider's Messages API behind `base_url` (the public one when None).

    The SDK costs about a second and 70 MB to import, so only a process that makes an upstream pays for it.
    """
    from costsvc.upstream.messages import AnthropicUpstream  # noqa: PLC0415 - the lazy import is the purpose

    return AnthropicUpstream(api_key=api_key, base_url=base_url, max_connections=max_connections)
