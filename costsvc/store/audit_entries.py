"""What an audit adds up by itself: the entries that are not sealed, as far as it has read them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from costsvc.core.auditing import Finding, Kind, check_entry, exact_pico_usd
from costsvc.core.catalog import Catalog
from costsvc.core.entry import MEASURES
from costsvc.core.money import PICO_PER_NANO
from costsvc.store import entry_codec
from costsvc.store.ledger import fields_of
from costsvc.store.rollups import FEW_VALUES, unpack

OTHER = "_other"

Sums = dict[str, list[int]]
"""Cells: measures by `<dimension>=<value>`."""


@dataclass(slots=True)
class LiveEntries:
    """Sums over entries, which grow with everything that is read.

    `read` is how many entries of an hour are in them; `charged` adds up costs by budget and balance, then by
    bucket. Rounding is what entries cost more than exact, of those whose catalogue is at hand.
    """

    catalog: Catalog
    count: int = 0
    cost_nano_usd: int = 0
    exact_count: int = 0
    rounding_pico_usd: int = 0
    read: Counter[str] = field(default_factory=Counter)
    charged: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    charge_ends_s: dict[tuple[str, str], int] = field(default_factory=dict)
    tenants: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    _sums: dict[tuple[str, str], Sums] = field(default_factory=dict)
    _ids: set[str] = field(default_factory=set)

    def begin_day(self) -> None:
        """Forget the sums of hours, of which only a day's are needed at a time."""
        self._sums.clear()
        self._ids.clear()

    def add(self, hour: str, rows: Sequence[bytes]) -> None:
        """Add the next entries of an hour."""
        self.read[hour] += len(rows)
        for row in rows:
            self._add(hour, row)

    def sums(self, tenant: str, hour: str) -> Sums:
        """Return the cells of a tenant's hour, no value of which is `_other` yet."""
        return self._sums.get((tenant, hour), {})

    def _add(self, hour: str, row: bytes) -> None:
        entry = entry_codec.decode(row)
        self.count += 1
        self.cost_nano_usd += entry.cost_nano_usd
        self.tenants.add(entry.tenant)
        exact = exact_pico_usd(entry, self.catalog)
        if exact is not None:
            self.exact_count += 1
            self.rounding_pico_usd += entry.cost_nano_usd * PICO_PER_NANO - exact
        if (finding := check_entry(entry, exact)) is not None:
            self.findings.append(finding)
        if entry.entry_id in self._ids:
            where = f"{entry.tenant} {entry.entry_id}"
            self.findings.append(Finding(kind=Kind.TWICE, where=where, what="entry", kept=2, expected=1))
        self._ids.add(entry.entry_id)
        for charge in set(entry.charges):
            key, bucket = balance_of(charge)
            self.charged[key][bucket] += entry.cost_nano_usd
            self.charge_ends_s[key] = int(charge.split(":", 4)[3])
        sums, measures = self._sums.setdefault((entry.tenant, hour), {}), entry.measures()
        for fields in fields_of(entry, entry_codec.counted_label_keys(row)):
            for name in fields:
                add_to(sums, name, measures)


def balance_of(charge: str) -> tuple[tuple[str, str], str]:
    """Return the budget and the member of its index that a charge names, and its bucket, "" for none."""
    budget_id, window, bucket, _, instance = charge.split(":", 4)
    return (budget_id, f"{window}:{instance}"), bucket


def add_to(sums: Sums, name: str, measures: Sequence[int]) -> None:
    """Add measures to a cell."""
    cell = sums.setdefault(name, [0] * len(MEASURES))
    for at, value in enumerate(measures):
        cell[at] += value


def capped(sums: Mapping[str, Sequence[int]], kept: Mapping[str, Sequence[int]]) -> Sums:
    """Return sums as a day keeps them: a value that has no cell of its own there counts as `_other`."""
    found: Sums = {}
    for name, measures in sums.items():
        dimension = name.partition("=")[0]
        has_cell = dimension in FEW_VALUES or name in kept
        add_to(found, name if has_cell else f"{dimension}={OTHER}", measures)
    return found


def cells(*hashes: Mapping[bytes, bytes]) -> dict[str, tuple[int, ...]]:
    """Return the cells of hashes as the store keeps them."""
    return {name.decode(): unpack(packed) for each in hashes for name, packed in each.items()}


def differences(
    where: str, kept: Mapping[str, Sequence[int]], expected: Mapping[str, Sequence[int]]
) -> Iterator[Finding]:
    """Yield each measure of each cell that is not what it should be."""
    nothing = [0] * len(MEASURES)
    for name in sorted(kept.keys() | expected.keys()):
        for measure, is_kept, due in zip(
            MEASURES, kept.get(name, nothing), expected.get(name, nothing), strict=True
        ):
            if is_kept != due:
                yield Finding(
                    kind=Kind.ROLLUP, where=f"{where} {name}", what=measure, kept=is_kept, expected=due
                )
