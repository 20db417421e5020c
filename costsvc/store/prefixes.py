"""How often prefixes of prompts come again, counted for all replicas.

    states = book.ask(exchange, tenant, scope, task, prefixes)       along with other questions
    known = states.result()                                          what the planner reads
    book.observe(exchange, tenant, scope, task, sightings, at_s=...) with what follows an answer

Each tenant has a fixed number of places, and a prefix has one of them by its hash: so a tenant's statistics
take a bounded amount of memory, about 250 bytes a place, whatever its callers send. A prefix that is new
does not drive out one in use. What is not there was not seen: then a kind's own statistics, or none, have to
do. Nothing here is money, and everything has a time to live.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from costsvc.core.marked import Known
from costsvc.core.prefixes import KIN, Prefixes, kin_digest
from costsvc.core.reuse import Reuse, Sighting, unpack
from costsvc.store import keys
from costsvc.store.connection import Script
from costsvc.store.exchange import Exchange, Pending

PLACES = 1 << 16
"""Of a tenant, at about 250 bytes each."""

KEPT_ONCE = timedelta(days=1)
"""How long a prefix that was seen once is remembered: most are never seen again."""
KEPT = timedelta(days=7)
"""How long one that was seen again is remembered: a week has a weekend."""

_SECOND = timedelta(seconds=1)
_SCOPE_BYTES = 4
_ID_BYTES = 20  # of a scope and a digest


class PrefixBook:
    """The statistics of all tenants."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._observe = Script.load("observe")

    def ask(
        self, exchange: Exchange, tenant: str, scope: bytes, task: str, prefixes: Prefixes
    ) -> Pending[Known]:
        """Ask what is known of a prompt's prefixes."""
        kinds = prefixes.kin
        digests = [spot.digest for spot in prefixes.spots]
        ids = [scope + digest for digest in (*digests, *(kin_digest(task, name) for name in kinds))]

        def read(texts: Any) -> Known:
            found = [_state(text, id_) for text, id_ in zip(texts, ids, strict=True)]
            own = {digest: state for digest, state in zip(digests, found, strict=False) if state}
            rest = zip(kinds, found[len(digests) :], strict=True)
            return Known(own, {name: state for name, state in rest if state})

        return exchange.ask(self._client, "MGET", *(_key(tenant, id_) for id_ in ids), read=read)

    def observe(
        self,
        exchange: Exchange,
        tenant: str,
        scope: bytes,
        task: str,
        sightings: Sequence[Sighting],
        *,
        at_s: int,
    ) -> Pending[int]:
        """Count what a call saw; the answer is how many prefixes were not kept, because others are in use."""
        kinds = [scope + kin_digest(task, name) for name in KIN]
        ids = [scope + seen.digest for seen in sightings]
        places = [_key(tenant, id_) for id_ in (*ids, *kinds)]
        words: list[str | bytes | int] = [len(ids), at_s, KEPT_ONCE // _SECOND, KEPT // _SECOND]
        words += [" ".join(KIN), *kinds]
        order = {seen.digest: number for number, seen in enumerate(sightings, 1)}
        for id_, seen in zip(ids, sightings, strict=True):
            words += [id_, _written(seen, order)]
        return exchange.run(self._client, self._observe, places, words, read=int)


def _key(tenant: str, id_: bytes) -> str:
    """Return the key of a place: by the scope and the digest together, so that models do not share one."""
    scope, digest = id_[:_SCOPE_BYTES], id_[_SCOPE_BYTES : 2 * _SCOPE_BYTES]
    place = (int.from_bytes(scope) ^ int.from_bytes(digest)) % PLACES
    return keys.prefix(tenant, place)


def _state(text: bytes | None, id_: bytes) -> Reuse | None:
    """Return a state that is of this prefix; what another version wrote otherwise is not known."""
    if text is None or text[:_ID_BYTES] != id_:
        return None
    try:
        return unpack(text[_ID_BYTES:].decode())
    except ValueError:
        return None


def _written(seen: Sighting, order: Mapping[bytes, int]) -> str:
    parent = order.get(seen.parent, 0) if seen.parent is not None else 0
    flags = (int(seen.moves), seen.warm_until_s, int(seen.one_hour), int(seen.tried), int(seen.read))
    return " ".join(map(str, (KIN.index(seen.kin) + 1, parent, *flags)))
