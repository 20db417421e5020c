"""The demo's figures as plain text: tables of equal columns, dollars with their decimals in line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from benchmarks.audit import PICO_PER_NANO, Comparison, add_bills
from benchmarks.traffic import Answer

NANO_PER_USD = 10**9
PICO_PER_USD = 10**12
CHEAP_NANO_USD = NANO_PER_USD // 100
_TECHNIQUES = {
    "routing": "a cheaper model answered",
    "token_reduction": "fewer tokens",
    "caller": "the caller's own breakpoints",
    "prompt_cache": "breakpoints that the service placed",
    "batch": "message batches",
    "response_cache": "stored answers",
}
_TOKENS = {
    "input_tokens": "prompt, neither read nor written",
    "cache_write_5m_tokens": "written to the prompt cache (5 min)",
    "cache_write_1h_tokens": "written to the prompt cache (1 h)",
    "cache_read_tokens": "read from the prompt cache",
    "output_tokens": "answer, thinking included",
}


def headline(answers: Sequence[Answer], duration_s: float) -> str:
    """Return what was sent, and the figures that matter most."""
    found = summary(answers)
    streamed, recorded = found["streamed_count"], found["recorded_count"]
    unary = len(answers) - streamed - recorded
    cost, baseline, saved = (usd(found[f"{name}_nano_usd"]) for name in ("cost", "baseline", "saved"))
    average, middle = usd(found["average_nano_usd"]), usd(found["median_nano_usd"])
    return (
        f"{len(answers)} calls in {duration_s:.1f} s: "
        f"{unary} unary, {streamed} streamed, {recorded} routed only and recorded\n"
        f"cost {cost}, baseline {baseline}, saved {saved} ({found['saved_percent']:.1f} %)\n"
        f"a call costs {average} on average and {middle} in the middle; "
        f"{found['below_one_cent_percent']:.1f} % of the calls cost less than $0.01"
    )


def summary(answers: Sequence[Answer]) -> dict[str, Any]:
    """Return the sums of a run by name."""
    sums = add_bills(answer.bill for answer in answers)
    costs = sorted(answer.bill.cost_nano_usd for answer in answers)
    count = max(1, len(answers))
    saved = sums["savings.total_nano_usd"]
    return {
        "call_count": len(answers),
        "streamed_count": sum(answer.streamed for answer in answers),
        "recorded_count": sum(answer.own_call for answer in answers),
        "cost_nano_usd": sums["cost_nano_usd"],
        "baseline_nano_usd": sums["baseline_nano_usd"],
        "saved_nano_usd": saved,
        "saved_percent": _percent(saved, sums["baseline_nano_usd"]),
        "average_nano_usd": sums["cost_nano_usd"] // count,
        "median_nano_usd": int(median(costs)) if costs else 0,
        "below_one_cent_percent": _percent(sum(cost < CHEAP_NANO_USD for cost in costs), count),
        "savings_nano_usd": {name: sums[f"savings.{name}_nano_usd"] for name in _TECHNIQUES},
        "tokens": {name: sums[f"usage.{name}"] for name in _TOKENS},
        "calls_by_scenario": _counts(answers, lambda answer: answer.job.scenario),
        "calls_by_model": _counts(answers, lambda answer: answer.model),
    }


def tables(answers: Sequence[Answer]) -> list[tuple[str, str]]:
    """Return each table with its title."""
    found = summary(answers)
    tokens = [[what, f"{found['tokens'][name]:,}"] for name, what in _TOKENS.items()]
    savings = [
        [name.replace("_", " "), usd(found["savings_nano_usd"][name]), what]
        for name, what in _TECHNIQUES.items()
    ]
    savings.append(["total", usd(found["saved_nano_usd"]), "baseline minus cost"])
    return [
        ("By scenario", _by(answers, "scenario", lambda answer: answer.job.scenario)),
        ("By model", _by(answers, "model", lambda answer: answer.model)),
        ("Tokens", table([["class", "tokens"], *tokens])),
        ("Savings by technique", table([["technique", "saved", ""], *savings])),
    ]


def books(comparison: Comparison) -> str:
    """Return the ledger beside the provider's bill, both exact."""
    rounding = comparison.difference_pico_usd
    bound = comparison.entry_count * PICO_PER_NANO
    verdict = "rounding only" if 0 <= rounding < max(1, bound) else "MORE THAN ROUNDING"
    rows = [
        ["", "calls", "USD", ""],
        [
            "ledger, nano-USD",
            f"{comparison.entry_count:,}",
            usd(comparison.ledger_nano_usd),
            f"entries, {comparison.hit_count:,} of them free: stored answers",
        ],
        [
            "provider's bill, pico-USD",
            f"{comparison.line_count:,}",
            _exact(comparison.provider_pico_usd, PICO_PER_USD, 12),
            "metered and priced apart",
        ],
        ["difference", "", _exact(rounding, PICO_PER_USD, 12), f"{verdict}: less than 1 nano-USD a call"],
        ["entry == ceil(bill)", f"{comparison.equal_count:,}", "", f"of {comparison.line_count:,}"],
    ]
    return table(rows)


def usd(nano_usd: int) -> str:
    """Return exact dollars."""
    return _exact(nano_usd, NANO_PER_USD, 9)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines; the first is the heading, columns that hold numbers stand to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    numeric = [any(_is_number(row[at]) for row in rows[1:]) for at in range(len(widths))]
    lines = [_line(row, widths, numeric) for row in rows]
    return "\n".join([lines[0], "  " + "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]])


def _line(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    cells = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(row, widths, numeric, strict=True)
    )
    return ("  " + "  ".join(cells)).rstrip()


def _is_number(cell: str) -> bool:
    return bool(cell) and cell.strip("-$% ").replace(",", "").replace(".", "").isdigit()


def _by(answers: Sequence[Answer], what: str, group_of: Callable[[Answer], str]) -> str:
    groups: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        groups[group_of(answer)].append(answer)
    heading = [what, "calls", "streamed", "prompt", "cached", "answer", "cost", "baseline", "saved", "a call"]
    rows = [[name, *_row(own)] for name, own in sorted(groups.items(), key=lambda item: _cost(item[1]))]
    return table([heading, *rows, ["all", *_row(answers)]])


def _row(answers: Sequence[Answer]) -> list[str]:
    sums = add_bills(answer.bill for answer in answers)
    usage = {name: sums[f"usage.{name}"] for name in _TOKENS}
    prompt = sum(usage.values()) - usage["output_tokens"]
    cost, baseline = sums["cost_nano_usd"], sums["baseline_nano_usd"]
    return [
        f"{len(answers)}",
        f"{sum(answer.streamed for answer in answers)}",
        f"{prompt:,}",
        f"{_percent(usage['cache_read_tokens'], prompt):.0f} %",
        f"{usage['output_tokens']:,}",
        _dollars(cost),
        _dollars(baseline),
        f"{_percent(baseline - cost, baseline):.1f} %",
        _dollars(cost // max(1, len(answers))),
    ]


def _cost(answers: Iterable[Answer]) -> int:
    return -sum(answer.bill.cost_nano_usd for answer in answers)


def _counts(answers: Iterable[Answer], group_of: Callable[[Answer], str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for answer in answers:
        counts[group_of(answer)] += 1
    return dict(sorted(counts.items()))


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def _dollars(nano_usd: int) -> str:
    """Return dollars for a table, to a ten-thousandth of a cent: rounded, for the eye only."""
    return f"${nano_usd / NANO_PER_USD:.6f}"


def _exact(amount: int, per_usd: int, places: int) -> str:
    dollars, rest = divmod(abs(amount), per_usd)
    return f"{'-' if amount < 0 else ''}${dollars:,}.{rest:0{places}d}"
