"""Alerts of budgets until they are delivered: scripts that change a balance put them into a queue, each once.

Whoever claims an alert has it for the time of a claim; where its process dies, the next one gets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from redis.asyncio import Redis

from costsvc.core.alert import Alert
from costsvc.store import keys
from costsvc.store.connection import Script, translated

CLAIM = timedelta(seconds=30)
"""How long a claim lasts: some times what delivering takes at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND, _MILLISECOND, _SECOND = (
    timedelta(microseconds=1),
    timedelta(milliseconds=1),
    timedelta(seconds=1),
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """An alert as it stands in the queue, whose first line counts how far it has come."""

    record: bytes

    @property
    def is_new(self) -> bool:
        """Whether nobody was told of it yet."""
        return self._steps == 0

    @property
    def failures(self) -> int:
        """How often sending it has failed."""
        return max(self._steps - 1, 0)

    @property
    def next(self) -> Claimed:
        """The same, one step further: told, or failed once more."""
        _, rest = self.record.split(b"\n", 1)
        return Claimed(b"%d\n%b" % (self._steps + 1, rest))

    def alert(self) -> Alert:
        """Return what it says."""
        _, raised_us, permille, id_, budget_id, member, ends_s, *rest = self.record.decode().split("\n")
        spent, at_risk, limit, displaced_id = rest[:4]
        window_key, instance = member.split(":", 1)
        return Alert(
            id=id_,
            budget_id=budget_id,
            instance=unquote(instance),
            window_key=window_key,
            window_end=_EPOCH + int(ends_s) * _SECOND,
            threshold_permille=int(permille),
            spent_nano_usd=int(spent),
            at_risk_nano_usd=int(at_risk),
            limit_nano_usd=int(limit),
            raised_at=_EPOCH + int(raised_us) * _MICROSECOND,
            displaced_id=displaced_id,
        )

    @property
    def _steps(self) -> int:
        return int(self.record.split(b"\n", 1)[0])


class AlertQueue:
    """The queue of all processes; its times are the server's, so that clocks of processes need not agree."""

    def __init__(self, client: Redis, *, claim: timedelta = CLAIM) -> None:
        self._client = client
        self._claim_ms = claim // _MILLISECOND
        self._claim = Script.load("claim_alerts")
        self._move = Script.load("move_alert")

    async def claim(self, count: int) -> Sequence[Claimed]:
        """Claim up to `count` alerts that are due, oldest first.

        Raises:
            StoreUnavailable: what was claimed is due again after the claim's time.
        """
        async with translated():
            records: list[bytes] = await self._claim.run(self._client, [keys.ALERTS], [count, self._claim_ms])
        return [Claimed(record) for record in records]

    async def told(self, claimed: Claimed) -> Claimed:
        """Note that people were told of it; it stays claimed, to be sent.

        Raises:
            StoreUnavailable: it may be noted or not.
        """
        await self._put(claimed, claimed.next.record, self._claim_ms)
        return claimed.next

    async def again(self, claimed: Claimed, after: timedelta) -> None:
        """Note that sending it has failed, and make it due later.

        Raises:
            StoreUnavailable: it is due later, or when the claim ends.
        """
        await self._put(claimed, claimed.next.record, after // _MILLISECOND)

    async def done(self, claimed: Claimed) -> None:
        """Take it out.

        Raises:
            StoreUnavailable: it may be out, or is due again when the claim ends.
        """
        await self._put(claimed, b"", 0)

    async def _put(self, claimed: Claimed, record: bytes, due_ms: int) -> None:
        async with translated():
            await self._move.run(self._client, [keys.ALERTS], [claimed.record, record, due_ms])
