"""What was fitted to outcomes: score, proof and all they rest on, replaced as a whole.

A fit begins with a name of its own, so that whether it has changed is asked without reading it. It ends by
itself some weeks after it was made: what prompts and models were like then is no evidence for ever.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from redis.asyncio import Redis

from costsvc.core.local_score import Fit, Proof, Routed
from costsvc.core.scoring import WeightsUnreadable, read_weights
from costsvc.store import keys
from costsvc.store.connection import ask, translated

FIT_TTL = timedelta(days=30)

VERSION = 1
_NAME_LENGTH = 16
_READ_BUDGET_S = 1.0
_MILLISECOND = timedelta(milliseconds=1)


class FitBook:
    """The fits of all tenants' tasks."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def put(self, tenant: str, task: str, fit: Fit) -> None:
        """Replace what is fitted, at once for everybody.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        async with translated(_READ_BUDGET_S):
            await self._client.set(keys.fit(tenant, task), encode(fit), px=FIT_TTL // _MILLISECOND)

    async def get(self, tenant: str, task: str) -> tuple[str, Fit | None]:
        """Return the name of what is fitted, and it; "" and None where nothing is.

        A fit that this version of costsvc cannot use has its name, but is None.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated(_READ_BUDGET_S):
            data: bytes | None = await ask(self._client, "GET", keys.fit(tenant, task))
        if data is None:
            return "", None
        try:
            return data[:_NAME_LENGTH].decode(), decode(data)
        except ValueError:
            return data[:_NAME_LENGTH].decode(errors="replace"), None

    async def names(self, tasks: Sequence[tuple[str, str]]) -> list[str]:
        """Return the name of what is fitted for each tenant's task, "" where nothing is, in one exchange.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated(_READ_BUDGET_S), self._client.pipeline(transaction=False) as pipeline:
            for tenant, task in tasks:
                pipeline.getrange(keys.fit(tenant, task), 0, _NAME_LENGTH - 1)
            found: list[bytes] = await pipeline.execute()
        return [name.decode(errors="replace") for name in found]


def encode(fit: Fit) -> bytes:
    """Return a fit's bytes, its name in front."""
    head = {
        "v": VERSION,
        "proof": asdict(fit.proof) if fit.proof else None,
        "models": fit.models,
        "cost_shares": fit.cost_shares,
        "mean_input_tokens": fit.mean_input_tokens,
        "mean_output_tokens": fit.mean_output_tokens,
        "outcome_count": fit.outcome_count,
        "fitted_at": fit.fitted_at.timestamp(),
    }
    body = json.dumps(head, separators=(",", ":")).encode() + b"\n" + fit.weights.to_bytes()
    return sha256(body).hexdigest()[:_NAME_LENGTH].encode() + body


def decode(data: bytes) -> Fit:
    """Return the fit that `encode` wrote.

    Raises:
        ValueError: not a fit, or one of another version or of other features.
    """
    head, _, weights = data[_NAME_LENGTH:].partition(b"\n")
    try:
        read = json.loads(head)
        if read["v"] != VERSION:
            raise ValueError(f"a fit of version {read['v']}, not {VERSION}")
        return Fit(
            weights=read_weights(weights),
            proof=_proof(read["proof"]),
            models=tuple(read["models"]),
            cost_shares=tuple(read["cost_shares"]),
            mean_input_tokens=read["mean_input_tokens"],
            mean_output_tokens=read["mean_output_tokens"],
            outcome_count=read["outcome_count"],
            fitted_at=datetime.fromtimestamp(read["fitted_at"], UTC),
        )
    except (LookupError, TypeError, WeightsUnreadable) as error:
        raise ValueError(f"not a fit: {error!r}") from error


def _proof(read: dict[str, Any] | None) -> Proof | None:
    return Proof(**{**read, "routed": Routed(**read["routed"])}) if read else None
