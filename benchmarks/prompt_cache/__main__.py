"""What prompt caching costs under several policies, over seeded traces; exit code 1 when a target is missed.

    make bench-prompt-cache
    python -m benchmarks.prompt_cache --read 0.1 --seed 7      another read ratio, other traces
    python -m benchmarks.prompt_cache --only chats             those whose name holds this

Input cost relative to no caching. "Best online" is the cheapest of all fixed rules, chosen with hindsight,
and of the planner's arithmetic with the true rates and a sure knowledge of what is live. The bound is below
what a clairvoyant could reach.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter

from benchmarks.prompt_cache.bound import clairvoyant_bound
from benchmarks.prompt_cache.calls import Trace
from benchmarks.prompt_cache.policies import AUTOMATIC, FIXED, INFORMED, NONE, PLANNER, STATIC, every_policy
from benchmarks.prompt_cache.replay import replay
from benchmarks.prompt_cache.technique import technique_lines
from benchmarks.prompt_cache.traces import SEED, make_traces
from costsvc.core.arrangement import Ratios

MIN_TOKENS = 512
READ_RATIO = 0.05
ENOUGH_CALLS = 1_000
MOST_ABOVE_BEST, MOST_ABOVE_NONE, MOST_ABOVE_STATIC = 1.05, 1.01, 1.01
MIX = "the mix of all"


@dataclass(frozen=True, slots=True)
class Result:
    """What a trace costs under each policy, in input tokens, and the bound."""

    name: str
    calls: int
    costs: Mapping[str, float]
    bound: float

    @property
    def best_online(self) -> float:
        """The cost of the best policy that does not see the future."""
        return min(cost for name, cost in self.costs.items() if name != PLANNER)

    @property
    def above_best(self) -> float:
        """The planner's cost as a multiple of the best online one."""
        return self.costs[PLANNER] / self.best_online

    def missed(self) -> list[str]:
        """Return the targets that the planner misses here."""
        cost = self.costs[PLANNER]
        found = []
        if self.calls >= ENOUGH_CALLS and self.above_best > MOST_ABOVE_BEST:
            found.append(f"{self.name}: {self.above_best:.3f} x the best online policy")
        if cost > MOST_ABOVE_NONE * self.costs[NONE]:
            found.append(f"{self.name}: {cost / self.costs[NONE]:.3f} x no caching")
        static = min(self.costs[AUTOMATIC], self.costs[STATIC])
        if cost > MOST_ABOVE_STATIC * static:
            found.append(f"{self.name}: {cost / static:.3f} x the best static rule")
        return found


def measure(trace: Trace, ratios: Ratios) -> Result:
    """Run a trace under every policy."""
    costs = {
        name: replay(trace, policy, ratios, MIN_TOKENS)
        for name, policy in every_policy(ratios, MIN_TOKENS).items()
    }
    return Result(trace.name, len(trace.calls), costs, clairvoyant_bound(trace.calls, ratios))


def together(results: Iterable[Result]) -> Result:
    """Return the mix: each trace with the same weight, as a share of what it costs without caching."""
    shares = [(result, result.costs[NONE]) for result in results]
    names = shares[0][0].costs
    return Result(
        MIX,
        sum(result.calls for result, _ in shares),
        {name: sum(result.costs[name] / plain for result, plain in shares) for name in names},
        sum(result.bound / plain for result, plain in shares),
    )


HEAD = ("automatic", "static", "best rule", "planner", "informed", "bound", "to best", "to bound")


def line(result: Result) -> str:
    """Return a row of the table."""
    plain, costs = result.costs[NONE], result.costs
    figures = (
        costs[AUTOMATIC],
        costs[STATIC],
        min(costs[name] for name in FIXED),
        costs[PLANNER],
        costs[INFORMED],
        result.bound,
    )
    shares = "".join(f"{figure / plain:10.3f}" for figure in figures)
    to_bound = costs[PLANNER] / result.bound
    return f"{result.name:27}{result.calls:7,}{shares}{result.above_best:10.3f}{to_bound:10.3f}"


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.prompt_cache", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument(
        "--read", type=float, default=READ_RATIO, help="what a read token costs (default 0.05)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of the traces")
    parser.add_argument("--only", default="", help="a part of the traces' names")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    arguments, began = _arguments(given), perf_counter()
    ratios = Ratios(arguments.read, 1.25, 2.0)
    print(f"Input cost relative to no caching; read {ratios.read} x, seed {arguments.seed}\n")
    print(f"{'trace':27}{'calls':>7}" + "".join(f"{name:>10}" for name in HEAD))
    results = []
    for trace in make_traces(arguments.seed, only=arguments.only):
        results.append(measure(trace, ratios))
        print(line(results[-1]), flush=True)
    results.append(together(results))
    print(line(results[-1]))
    print("", *technique_lines(), sep="\n")
    missed = [target for result in results for target in result.missed()]
    print(f"\n{perf_counter() - began:.0f} s. " + ("\n".join(missed) or "Every target is met."))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
