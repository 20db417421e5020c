"""Checking budgets and risks: each balance against entries, risks and holds that name it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from costsvc.core.auditing import Finding, Kind
from costsvc.store import keys
from costsvc.store.attempts import read_at_risk
from costsvc.store.audit_entries import LiveEntries, balance_of
from costsvc.store.connection import Script

Member = tuple[str, str]
"""A budget, and the member of its index that a balance is."""

_HELD_CHARGES = 6  # lines of a held record before its charges


class Money:
    """Balances and risks beside what they should be, which the entries that are read say by then."""

    COMMANDS: ClassVar[Sequence[tuple[Any, ...]]] = (
        ("HVALS", keys.AT_RISK),
        ("EVAL", Script.load("held").source, 3, keys.LEASES, keys.HOLDS, keys.ATTEMPTS),
    )
    """What tells the risks and the records of holds of a moment."""

    def __init__(self, live: LiveEntries) -> None:
        self._live = live
        self.balance_count = 0
        self.based_nano_usd = 0
        self.risk_count = 0
        self.held_count = 0

    def check_balances(
        self,
        members: Sequence[Member],
        tables: Sequence[Mapping[bytes, bytes]],
        risks: Sequence[bytes],
        held: Sequence[bytes],
    ) -> Iterator[Finding]:
        """Yield what is wrong with balances, all of it read in one moment."""
        risked = _risked(risks)
        likely, worst = _held(held)
        self.held_count = len(held)
        for member, table in zip(members, tables, strict=True):
            amounts = {name.decode(): int(value) for name, value in table.items() if _is_amount(name)}
            charged, at_risk = self._live.charged.get(member, Counter()), risked[member]
            expected = {"q": likely[member], "w": worst[member]}
            expected |= (
                _of_buckets(amounts, charged, at_risk)
                if "floor" in amounts
                else {"spent": amounts.get("base", 0) + charged[""], "at_risk": at_risk[""]}
            )
            self.balance_count += 1
            self.based_nano_usd += sum(value for name, value in amounts.items() if name[0] == "b")
            for name, due in expected.items():
                if amounts.get(name, 0) != due:
                    where = " ".join(member)
                    kept = amounts.get(name, 0)
                    yield Finding(kind=Kind.BALANCE, where=where, what=name, kept=kept, expected=due)

    def missing(self, now: datetime, members: Sequence[Member]) -> list[Member]:
        """Return the balances that entries name, that still count and that no index has."""
        return sorted(
            member
            for member in self._live.charged.keys() - set(members)
            if self._live.charge_ends_s[member] > now.timestamp()
        )

    def check_risks(
        self, sums: Mapping[bytes, bytes], index_count: int, risks: Sequence[bytes]
    ) -> Iterator[Finding]:
        """Yield where the sums of what is at risk, or its index, are not those of the risks."""
        expected: Counter[str] = Counter()
        for risk in map(read_at_risk, risks):
            tenant = risk.opening.tenant
            expected[f"{tenant}:count"] += 1
            expected[f"{tenant}:lower"] += risk.lower_nano_usd
            expected[f"{tenant}:upper"] += risk.upper_nano_usd
        self.risk_count = len(risks)
        kept = {name.decode(): int(value) for name, value in sums.items()}
        for name in sorted(kept.keys() | expected.keys()):
            if kept.get(name, 0) != expected[name]:
                tenant, what = name.split(":")
                yield _risk_finding(tenant, what, kept.get(name, 0), expected[name])
        if index_count != len(risks):
            yield _risk_finding("all", "index", index_count, len(risks))


def _of_buckets(
    amounts: Mapping[str, int], charged: Mapping[str, int], at_risk: Mapping[str, int]
) -> dict[str, int]:
    """Return what a rolling window should have, by bucket and in all; buckets before its floor are gone."""
    floor = amounts["floor"]
    numbers = {int(name[1:]) for name in amounts if name[1:].isdigit()} | {
        *map(int, charged),
        *map(int, at_risk),
    }
    expected = {"spent": 0, "at_risk": 0}
    for number in sorted(number for number in numbers if number >= floor):
        spent = amounts.get(f"b{number}", 0) + charged.get(str(number), 0)
        risked = at_risk.get(str(number), 0)
        expected |= {f"s{number}": spent, f"r{number}": risked}
        expected["spent"] += spent
        expected["at_risk"] += risked
    return expected


def _risked(risks: Sequence[bytes]) -> dict[Member, Counter[str]]:
    """Return the upper bounds of what is at risk, by balance and bucket."""
    found: dict[Member, Counter[str]] = defaultdict(Counter)
    for risk in map(read_at_risk, risks):
        for charge in risk.charges:
            member, bucket = balance_of(charge)
            found[member][bucket] += risk.upper_nano_usd
    return found


def _held(records: Sequence[bytes]) -> tuple[Counter[Member], Counter[Member]]:
    """Return the sums of q and of w by balance."""
    likely: Counter[Member] = Counter()
    worst: Counter[Member] = Counter()
    for record in records:
        lines = record.decode().split("\n")
        for charge in lines[_HELD_CHARGES:-1]:
            member, _ = balance_of(charge)
            likely[member] += int(lines[3])
            worst[member] += int(lines[4])
    return likely, worst


def _is_amount(name: bytes) -> bool:
    """Tell a balance's sums from what else it has."""
    return name in {b"spent", b"at_risk", b"q", b"w", b"base", b"floor"} or name[1:].isdigit()


def _risk_finding(where: str, what: str, kept: int, expected: int) -> Finding:
    return Finding(kind=Kind.AT_RISK, where=where, what=what, kept=kept, expected=expected)
