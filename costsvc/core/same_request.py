"""What makes two requests with one request_id the same: everything that could change the answer.

Left out is what only reports read (labels), how an answer is paid (markers, the response cache), and until
when it is waited for. The spelling of the JSON does not matter, nor whether typed fields or a body say it.
"""

from __future__ import annotations

from hashlib import sha256

from costsvc.core.request import ModelRequest
from costsvc.core.response_key import canonical

_SAID_ELSEWHERE = frozenset({"model", "stream"})
"""Members of the body that the request says in a field of its own, or that the RPC decides."""


def fingerprint(request: ModelRequest) -> str:
    """Return 32 hexadecimal digits that stand for what is asked; compare them within one request_id only.

    Raises:
        RecursionError: nested more deeply than can be written.
    """
    asked = {
        "body": {name: value for name, value in request.body.items() if name not in _SAID_ELSEWHERE},
        "model": request.model,
        "task": request.task,
        "conversation_id": request.conversation_id,
        "tiers": [request.min_tier, request.max_tier],
        "baseline_only": request.baseline_only,
        "betas": sorted(request.betas),
        **({"max_cost_nano_usd": request.max_cost_nano_usd} if request.max_cost_nano_usd else {}),
        **({"checks": dict(request.checks.form)} if request.checks and request.checks.form else {}),
    }
    return sha256(canonical(asked)).hexdigest()[:32]
