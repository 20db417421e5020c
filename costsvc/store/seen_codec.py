"""What is kept of an answered prompt so that its outcome can be learned from: numbers, never its text.

A record starts with its version. Grams are written as gaps between sorted buckets, most of them one byte, and
compressed: a prompt of 2,000 characters takes about 600 bytes.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import accumulate

from costsvc.core.features import NAMES, VERSION, Features
from costsvc.core.request import Tier

_HEAD = struct.Struct(f"<BBBQI{len(NAMES)}e")
_CODEC = 1
_STEP = 255  # a byte that says: go on so far, and read another


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An answered prompt: whose, of what task, what it looks like, and which tier and model answered it."""

    tenant: str
    task: str
    tier: Tier
    model: str
    input_tokens: int
    output_tokens: int
    features: Features


def encode(seen: Seen) -> bytes:
    """Return the record's bytes; counts of features keep three digits."""
    head = _HEAD.pack(
        _CODEC, VERSION, seen.tier, seen.input_tokens, seen.output_tokens, *seen.features.counts
    )
    words = f"{seen.tenant}\n{seen.task}\n{seen.model}".encode()
    return head + words + b"\n" + zlib.compress(_gaps(seen.features.grams), 9)


def decode(data: bytes) -> Seen:
    """Return what `encode` wrote.

    Raises:
        ValueError: not such a record, or one of other features, whose numbers mean something else.
    """
    try:
        codec, version, tier, input_tokens, output_tokens, *counts = _HEAD.unpack_from(data)
        if (codec, version) != (_CODEC, VERSION):
            raise ValueError(f"a record of version {codec}, features {version}")
        tenant, task, model, grams = data[_HEAD.size :].split(b"\n", 3)
        return Seen(
            tenant=tenant.decode(),
            task=task.decode(),
            tier=Tier(tier),
            model=model.decode(),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            features=Features(tuple(counts), _buckets(zlib.decompress(grams))),
        )
    except (struct.error, zlib.error) as error:
        raise ValueError(f"not a record of a prompt: {error}") from error


def owner(data: bytes) -> str:
    """Return the tenant of a record.

    Raises:
        ValueError: not such a record, or one of other features.
    """
    if data[:2] != bytes((_CODEC, VERSION)):
        raise ValueError(f"a record that begins with {data[:2]!r}")
    return data[_HEAD.size :].split(b"\n", 1)[0].decode()


def _gaps(buckets: frozenset[int]) -> bytes:
    packed, before = bytearray(), 0
    for bucket in sorted(buckets):
        steps, rest = divmod(bucket - before, _STEP)
        packed += b"\xff" * steps
        packed.append(rest)
        before = bucket
    return bytes(packed)


def _buckets(gaps: bytes) -> frozenset[int]:
    reached = accumulate(gaps)
    return frozenset(at for at, gap in zip(reached, gaps, strict=True) if gap != _STEP)
