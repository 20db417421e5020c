"""Booking an entry in the ledger: against every budget in force, and right also after a resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from costsvc.app.definitions import InForce
from costsvc.app.policies import PolicyInForce
from costsvc.core.entry import REVERSED, Entry, correction
from costsvc.core.errors import StoreUnavailable
from costsvc.store.ledger import Ledger, Outdated, Resolved, Settled

_MANY_BUDGET_S = 5.0  # of what no call waits for
_ROUNDS = 6  # definitions that change, and a resolution to amend, while one entry is booked


class Booking:
    """The one way into the ledger; reports add up the labels that the policy lists."""

    def __init__(self, ledger: Ledger, in_force: InForce, policy_in_force: PolicyInForce) -> None:
        self._ledger = ledger
        self._in_force = in_force
        self._policy_in_force = policy_in_force

    async def book(
        self, entry: Entry, *, encoded: bytes = b"", version: int | None = None, once_per: str = ""
    ) -> Settled:
        """Book an entry once; a bill that comes after a resolution adds the signed difference.

        It counts against the charges that it names and against all budgets in force: one that was defined
        while the attempt ran would else never hear of it. `version` is that of the definitions that its
        charges follow, None where it is not known. `encoded` and `once_per` are as the ledger has them.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        change = entry
        if version is None:
            change, version = self._charged(change), self._in_force.version
        for _ in range(_ROUNDS):
            outcome = await self._ledger.settle(
                change,
                label_keys=self._policy_in_force.policy.report_labels,
                once_per=once_per,
                encoded=encoded if change is entry else b"",
                version=version,
            )
            match outcome:
                case Outdated():
                    await self._in_force.load()
                    change, version = self._charged(change), self._in_force.version
                case Resolved():
                    change = self._charged(correction(outcome.entry, change))
                case Settled() if change.state == REVERSED:
                    change = self._charged(entry)
                case Settled():
                    return outcome
        raise StoreUnavailable("what an entry counts against changes faster than it can be booked")

    async def book_all(self, entries: Sequence[Entry]) -> list[Settled]:
        """Book entries, most of them in one trip; what `book` says of one holds for each.

        Raises:
            StoreUnavailable: some are booked; repeat all.
        """
        version = self._in_force.version
        outcomes = await self._ledger.settle_all(
            [self._charged(entry) for entry in entries],
            label_keys=self._policy_in_force.policy.report_labels,
            version=version,
            budget_s=_MANY_BUDGET_S,
        )
        return [
            outcome if isinstance(outcome, Settled) else await self.book(entry)
            for entry, outcome in zip(entries, outcomes, strict=True)
        ]

    def _charged(self, entry: Entry) -> Entry:
        charges = self._in_force.charges(entry)
        return entry if charges == entry.charges else replace(entry, charges=charges)
