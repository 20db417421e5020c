"""Comparing the books: what the provider billed, what the ledger has, what the answers and Report said.

The provider meters and prices by itself, in pico-USD; the ledger's nano-USD must be that, rounded up once a
call. Nothing here uses the service's arithmetic.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.traffic import Answer
from costsvc import v1
from costsvc.core.entry import HITS, Entry

PICO_PER_NANO = 1_000
_METERED = {  # the provider's name of a class of tokens: ours
    "input_tokens": "input_tokens",
    "cache_creation_5m_input_tokens": "cache_write_5m_tokens",
    "cache_creation_1h_input_tokens": "cache_write_1h_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "output_tokens": "output_tokens",
    "web_search_requests": "web_search_count",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The ledger beside the provider's bill; `mismatches` has one sentence for each attempt that differs.

    Of the entries, `hit_count` are those of stored answers, for which nobody asked the provider.
    """

    entry_count: int
    hit_count: int
    line_count: int
    equal_count: int
    ledger_nano_usd: int
    provider_pico_usd: int
    mismatches: tuple[str, ...]

    @property
    def difference_pico_usd(self) -> int:
        """What the ledger has more than the bill: the rounding, less than 1,000 an entry."""
        return self.ledger_nano_usd * PICO_PER_NANO - self.provider_pico_usd


def compare_bill(entries: Sequence[Entry], lines: Sequence[Mapping[str, Any]]) -> Comparison:
    """Hold each entry against the line of its attempt; own calls are joined on the provider's request id."""
    hits = [entry for entry in entries if entry.cache_outcome in HITS]
    asked = [entry for entry in entries if entry.cache_outcome not in HITS]
    by_key: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        by_key[line["attempt"] or line["request_id"]].append(line)
    keys = [entry.attempt_id if entry.attempt_id in by_key else entry.provider_request_id for entry in asked]
    mismatches = [
        f"{key}: {count} entries for one attempt" for key, count in Counter(keys).items() if count > 1
    ]
    mismatches += [f"{hit.attempt_id}: a stored answer that cost" for hit in hits if hit.cost_nano_usd]
    for entry, key in zip(asked, keys, strict=True):
        mismatches += [f"{entry.attempt_id}: {problem}" for problem in _problems(entry, by_key.get(key, []))]
    unbooked = by_key.keys() - set(keys)
    mismatches += [
        f"{key}: billed {by_key[key][0]['pico_usd']} pico-USD, no entry" for key in sorted(unbooked)
    ]
    return Comparison(
        entry_count=len(entries),
        hit_count=len(hits),
        line_count=len(lines),
        equal_count=sum(not _problems(e, by_key.get(key, [])) for e, key in zip(asked, keys, strict=True)),
        ledger_nano_usd=sum(entry.cost_nano_usd for entry in entries),
        provider_pico_usd=sum(int(line["pico_usd"]) for line in lines),
        mismatches=tuple(mismatches),
    )


def _problems(entry: Entry, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what differs between an entry and the lines of its attempt, of which there must be one."""
    if len(lines) != 1:
        return [f"{len(lines)} lines on the bill"]
    [line] = lines
    problems = []
    due_nano_usd = -(-int(line["pico_usd"]) // PICO_PER_NANO)
    if entry.cost_nano_usd != due_nano_usd:
        problems.append(
            f"booked {entry.cost_nano_usd} nano-USD, billed {line['pico_usd']} pico-USD = {due_nano_usd}"
        )
    if entry.answering_model != line["model"]:
        problems.append(f"booked on {entry.answering_model}, billed on {line['model']}")
    for theirs, ours in _METERED.items():
        if getattr(entry.usage, ours) != line["usage"][theirs]:
            problems.append(f"{ours}: booked {getattr(entry.usage, ours)}, metered {line['usage'][theirs]}")
    return problems


def compare_answers(answers: Iterable[Answer], entries: Iterable[Entry]) -> list[str]:
    """Return a sentence for each answer whose bill differs from its entries, and for entries of no answer."""
    booked: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in entries:
        booked[entry.response_id].update(_entry_sums(entry))
    problems = []
    for answer in answers:
        said, found = bill_sums(answer.bill), booked.pop(answer.response_id, Counter())
        problems += [
            f"{answer.response_id}: answered {name} {said[name]}, booked {found[name]}"
            for name in said
            if said[name] != found[name]
        ]
        problems += [f"{answer.response_id}: {problem}" for problem in _inner_problems(answer)]
    return problems + [f"{response_id}: booked, but never answered" for response_id in booked]


def _inner_problems(answer: Answer) -> Iterator[str]:
    """Yield what an answer says that contradicts itself."""
    bill = answer.bill
    parts = [getattr(bill.savings, part.name) for part in bill.savings.DESCRIPTOR.fields]
    total = bill.savings.total_nano_usd
    if not sum(parts) - total == total == bill.baseline_nano_usd - bill.cost_nano_usd:
        yield "its savings do not add up to baseline minus cost"
    if answer.text != answer.written_text:
        yield "the text that was delivered is not that of its message"


def compare_report(
    what: str, expected: Mapping[str, Iterable[v1.Bill]], found: Mapping[str, v1.ReportTotals]
) -> list[str]:
    """Return a sentence for each group of a report that is not the sum of its answers."""
    problems = [f"Report by {what}: unexpected group {group!r}" for group in found.keys() - expected.keys()]
    for group, bills in expected.items():
        own = list(bills)
        totals = found.get(group, v1.ReportTotals())
        if totals.call_count != len(own):
            problems.append(f"Report by {what} {group!r}: {totals.call_count} calls, answered {len(own)}")
        sums, reported = add_bills(own), bill_sums(totals.bill)
        problems += [
            f"Report by {what} {group!r}: {name} {reported[name]}, the answers have {sums[name]}"
            for name in reported
            if reported[name] != sums[name]
        ]
    return problems


def add_bills(bills: Iterable[v1.Bill]) -> Counter[str]:
    """Return the sums of all numbers of some bills, by name."""
    sums: Counter[str] = Counter()
    for bill in bills:
        sums.update(bill_sums(bill))
    return sums


def bill_sums(bill: v1.Bill) -> dict[str, int]:
    """Return the numbers of a bill by name; those of messages inside it as `savings.routing_nano_usd`."""
    flat = {"cost_nano_usd": bill.cost_nano_usd, "baseline_nano_usd": bill.baseline_nano_usd}
    for name in ("usage", "savings"):
        inner = getattr(bill, name)
        flat |= {f"{name}.{part.name}": getattr(inner, part.name) for part in inner.DESCRIPTOR.fields}
    return flat


def _entry_sums(entry: Entry) -> dict[str, int]:
    """Return an entry's numbers under the names of `bill_sums`."""
    names = [*bill_sums(v1.Bill())]
    return {name: _number(entry, name) for name in names}


def _number(entry: Entry, name: str) -> int:
    found: Any = entry
    for part in name.split("."):
        found = getattr(found, part)
    return int(found)
