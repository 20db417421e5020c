"""What an answer that was not read to its end has cost: between what was seen, and what it was allowed.

Rules of the provider (https://platform.claude.com/docs/en/build-with-claude/streaming): `message_start` has
the counts of the prompt, which are final where it is read once; the output that it counts is a beginning. A
refusal before any output may be free, so nothing is certain before there is some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from costsvc.core.catalog import Catalog
from costsvc.core.errors import Bounds, UnknownModel
from costsvc.core.holds import Hold
from costsvc.core.pricing import bill
from costsvc.core.readings import Readings, count_readings
from costsvc.core.request import ModelRequest
from costsvc.core.usage import MalformedUsage, Reported, read_usage

CHARACTERS_A_TOKEN = 16
"""No text has fewer tokens than this many letters and digits each: about a quarter of what they have."""


def bounds(
    request: ModelRequest,
    message: Mapping[str, Any],
    text: str,
    catalog: Catalog,
    *,
    model: str,
    max_tokens: int,
    hold: Hold,
    at: datetime,
) -> Bounds:
    """Return what an answer costs at least and at most, by the message and the visible text so far.

    Without a beginning that can be read, and at most where the provider reads more than once, that is what
    was held.
    """
    try:
        seen = read_usage(message.get("usage") or {}, model=_answering(message, model, catalog))
        seen_tokens = max(seen.totals.output_tokens, sum(map(str.isalnum, text)) // CHARACTERS_A_TOKEN)
        least = bill(catalog, _with_output(seen, seen_tokens), at=at).nano_usd if text else 0
        most = bill(catalog, _with_output(seen, max(max_tokens, seen_tokens)), at=at).nano_usd
    except (MalformedUsage, UnknownModel):
        return Bounds(0, hold.most_nano_usd)
    if count_readings(request) != Readings() or len(seen.parts) > 1:
        most = max(hold.most_nano_usd, least)
    return Bounds(least, most)


def _with_output(reported: Reported, output_tokens: int) -> Reported:
    """Return the same reading with another count of what was written; it is billed once there is output."""
    (model, usage), *others = reported.parts
    if others:
        return reported
    return replace(reported, parts=((model, replace(usage, output_tokens=output_tokens)),), billed=True)


def _answering(message: Mapping[str, Any], asked: str, catalog: Catalog) -> str:
    name = message.get("model")
    return name if isinstance(name, str) and name in catalog.names else asked
