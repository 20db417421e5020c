"""How long an answer may be: a cap where its tail has no value, and a default made of what was observed."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from costsvc.core.constraints import Needs
from costsvc.core.content import Content
from costsvc.core.length import Length
from costsvc.core.lengths import Lengths, Quantile
from costsvc.core.model import Model
from costsvc.core.request import ModelRequest
from costsvc.core.shaping import has_tools, may_think, stands_a_cut
from costsvc.core.tokens import estimate_input


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit for an answer; `tokens` is None while too few answers are known to set it.

    `name` tells it from limits of another policy.
    """

    code: str
    name: str
    tokens: int | None
    detail: str = ""


def limit_for(
    length: Length,
    lengths: Lengths,
    *,
    request: ModelRequest,
    needs: Needs,
    content: Content,
    model: Model,
    known_as: Hashable,
) -> Limit | None:
    """Return the limit that a policy sets, None where the caller's or the policy's plain default stays.

    `needs` are those of the request with what is added to it; `known_as` is the key of the lengths that a
    missing max_tokens goes by.
    """
    observed = None
    if request.get("max_tokens") is None and length.default_quantile is not None:
        quantile = lengths.quantile(known_as, length.default_quantile)
        observed = _observed(length, quantile, needs)
        longest = observed.tokens if observed and observed.tokens else 0
        if longest > needs.max_tokens and not _has_room(request, content, model, longest):
            observed = None
    limit = observed.tokens if observed and observed.tokens else needs.max_tokens
    if 0 < length.cap_tokens < limit and _may_be_cut(request, needs, model):
        detail = f"cut after {length.cap_tokens} tokens instead of {limit}: the tail has no value"
        name = f"length_cap={length.cap_tokens}"
        return Limit(code="length_cap", name=name, tokens=length.cap_tokens, detail=detail)
    return observed


def _may_be_cut(request: ModelRequest, needs: Needs, model: Model) -> bool:
    """Tell whether a cut takes nothing but the tail: where thinking comes first, it may take all."""
    return stands_a_cut(request, needs) and not may_think(needs, model, has_tools=has_tools(request))


def _observed(length: Length, quantile: Quantile | None, needs: Needs) -> Limit | None:
    """Return a limit by what answers had; never with a budget of thinking, which it must exceed."""
    if needs.thinking == "enabled":
        return None
    code = "max_tokens_observed"
    if quantile is None:
        return Limit(code=code, name=code, tokens=None)
    ceiling = length.ceiling_tokens or needs.max_tokens
    tokens = ceiling if quantile.tokens is None else min(max(quantile.tokens, length.floor_tokens), ceiling)
    said = f"is {quantile.tokens}" if quantile.tokens is not None else "was cut"
    share = float(length.default_quantile or 0)
    detail = f"{tokens}: quantile {share:g} of the last {quantile.call_count} answers {said}"
    return Limit(code=code, name=code, tokens=tokens, detail=detail)


def _has_room(request: ModelRequest, content: Content, model: Model, max_tokens: int) -> bool:
    """Tell whether a longer answer than the policy's default fits the model, and the caller's cost bound."""
    whole = estimate_input(content, model).bound + max_tokens
    return (
        not request.max_cost_nano_usd
        and max_tokens <= model.max_output_tokens
        and whole <= model.context_tokens
    )
