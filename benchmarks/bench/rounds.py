"""CPU above the floors: everything measured in turn, many times, because a busy machine moves all alike.

What a call costs above its floors is taken within each round, in units of that round's E, and the median of
the rounds counts. Judged is one call at a time; several at once share wake-ups and cost less.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection
from statistics import median

from benchmarks.bench.installation import Installation
from benchmarks.bench.load import Call, load
from benchmarks.bench.messages import COMPLETE, HIT, ROUTE
from benchmarks.bench.processes import Program, busy_us, cores
from benchmarks.bench.table import Row, spread

WARM_UP_CALLS = 300
CALLS = 240
UNIT_CALLS = 800
AT_ONCE = 8
LIMITS = {"Route": 1.5, "Complete": 4.0, "hit": 2.5}
"""What a call may cost above its floors, in E."""

FLOORS = {
    "Route": ("echo of Route",),
    "Complete": ("echo of Complete", "SDK's post"),
    "hit": ("echo of hit",),
}


class Rounds:
    """Figures by name and by how many calls at once, one figure a round."""

    def __init__(self, at: Installation) -> None:
        self._at = at
        self._calls: dict[str, tuple[Program, Call]] = {
            "Route": (at.server, lambda: at.costs.Route(ROUTE)),
            "Complete": (at.server, lambda: at.costs.Complete(COMPLETE)),
            "hit": (at.server, lambda: at.costs.Complete(HIT)),
            "echo of Route": (at.echo, lambda: at.echoes.Route(ROUTE)),
            "echo of Complete": (at.echo, lambda: at.echoes.Complete(COMPLETE)),
            "echo of hit": (at.echo, lambda: at.echoes.Complete(HIT)),
        }
        self.unit_us: list[float] = []
        self.cpu_us: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.p50_ms: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.per_s: dict[tuple[str, int], list[float]] = defaultdict(list)

    async def warm_up(self) -> None:
        """Let everything reach its usual speed."""
        for program, call in self._calls.values():
            await load(program, call, WARM_UP_CALLS)
        await self._at.sdk.ask(f"{WARM_UP_CALLS} 1")
        await self._at.evalsha.ask(f"{WARM_UP_CALLS} 1")

    async def measure(self, names: Collection[str]) -> None:
        """Measure E, then each RPC and its floors."""
        self.unit_us.append(float(await self._at.evalsha.ask(f"{UNIT_CALLS} 1")))
        for name in names:
            for at_once in (1, AT_ONCE):
                for what in (*FLOORS[name], name):
                    await self._measure(what, at_once)

    async def _measure(self, what: str, at_once: int) -> None:
        key = (what, at_once)
        if what == "SDK's post":
            self.cpu_us[key].append(float(await self._at.sdk.ask(f"{CALLS} {at_once}")))
            return
        spent = await load(*self._calls[what], CALLS, at_once)
        self.cpu_us[key].append(spent.cpu_us_a_call)
        self.p50_ms[key].append(median(spent.latencies_us) / 1000)
        self.per_s[key].append(spent.calls_per_s)

    def above(self, name: str, at_once: int) -> list[float]:
        """Return what a call costs above its floors, in E, by round."""
        floors = zip(*(self.cpu_us[floor, at_once] for floor in FLOORS[name]), strict=True)
        rounds = zip(self.cpu_us[name, at_once], floors, self.unit_us, strict=True)
        return [(whole - sum(parts)) / unit for whole, parts, unit in rounds]


class OtherWork:
    """What else ran on the measured core since this was made: much of it makes every figure too high."""

    def __init__(self, at: Installation) -> None:
        self._programs = (at.server, at.echo, at.sdk, at.evalsha)
        self._start = self._now()

    def share(self) -> float:
        """Return its part of all time."""
        since = [now - start for now, start in zip(self._now(), self._start, strict=True)]
        elapsed_us, busy, ours = since
        return max(0.0, (busy - ours) / elapsed_us)

    def _now(self) -> tuple[float, float, float]:
        ours = sum(program.cpu_us() for program in self._programs)
        return time.monotonic() * 1e6, busy_us(cores()[0]), ours


async def measure_cpu(at: Installation, names: Collection[str], count: int) -> list[Row]:
    """Return the rows of Route and Complete, whichever are asked for."""
    rounds = Rounds(at)
    await rounds.warm_up()
    others = OtherWork(at)
    for _ in range(count):
        await rounds.measure(names)
    rows = [
        Row("work of others on the measured core meanwhile", f"{others.share():.0%}"),
        Row("E: one EVALSHA by redis-py", spread(rounds.unit_us, "us"), 1.0),
    ]
    for name in names:
        rows += _rows(rounds, name)
    return rows


def _rows(rounds: Rounds, name: str) -> list[Row]:
    above, above_at_once = rounds.above(name, 1), rounds.above(name, AT_ONCE)
    what = f"{name} above {' and '.join(FLOORS[name])}"
    middle, middle_at_once = median(above), median(above_at_once)
    return [
        *(_cpu_row(rounds, f"floor: {floor}, CPU a call", floor, 1) for floor in FLOORS[name]),
        _cpu_row(rounds, f"{name}, CPU a call", name, 1),
        Row.judged(
            what, f"{spread(above, 'E')}, best {min(above):.2f}", middle, LIMITS[name], "E", units=middle
        ),
        Row(f"{name}, p50", spread(rounds.p50_ms[name, 1], "ms")),
        Row("its echo, p50", spread(rounds.p50_ms[FLOORS[name][0], 1], "ms")),
        *(_cpu_row(rounds, f"floor: {floor}, {AT_ONCE} at once", floor, AT_ONCE) for floor in FLOORS[name]),
        _cpu_row(rounds, f"{name}, CPU a call, {AT_ONCE} at once", name, AT_ONCE),
        Row(f"{what}, {AT_ONCE} at once", spread(above_at_once, "E"), middle_at_once),
        Row(f"{name}, calls a second, {AT_ONCE} at once", spread(rounds.per_s[name, AT_ONCE], "/s")),
    ]


def _cpu_row(rounds: Rounds, what: str, name: str, at_once: int) -> Row:
    figures = rounds.cpu_us[name, at_once]
    in_units = median(us / unit for us, unit in zip(figures, rounds.unit_us, strict=True))
    return Row(what, spread(figures, "us"), in_units)
