"""The provider's prompt cache: entries at breakpoints, found again by walking back from a later one.

An entry is a hash over workspace, model, speed, thinking and effort, and every block up to its breakpoint.
A request reads the longest entry within 20 positions of any of its breakpoints, writes the rest up to its
last breakpoint, and pays plain input for what follows. An entry can be read once the answer that wrote it
has begun, and lives for its lifetime from the start of the last request that wrote or read it. A hit also
refreshes the entries at the marked blocks that it covers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .models import Model
from .prompt import MESSAGES, SYSTEM, TTLS_S, Block, Prompt
from .rates import Metered

LOOK_BACK_POSITIONS = 20
_RUNS = {"tool_use", "tool_result"}
_MAX_ENTRIES = 100_000


@dataclass(slots=True)
class Plan:
    """What a request reads, and what it writes once it begins: hash to (expiry, lifetime) in seconds."""

    read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    entries: dict[bytes, tuple[float, int]] = field(default_factory=dict)


class PromptCache:
    """All entries of the simulated organisation."""

    def __init__(self) -> None:
        self._entries: dict[bytes, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def plan(self, prompt: Prompt, scope: dict[str, Any], model: Model, now_s: float) -> Plan:
        """Look a request up; a hit is refreshed at once, writes wait for `commit`."""
        plan = Plan()
        ends = list(_prefixes(prompt, scope))
        marks = [i for i, b in enumerate(prompt.blocks) if b.ttl and ends[i][1] >= model.min_cache]
        hit = self._longest_hit(prompt.blocks, ends, marks, now_s)
        if hit is not None:
            plan.read = ends[hit][1]
            self._refresh([hit, *(i for i in marks if i < hit)], ends, now_s)
        _price_writes(plan, prompt.blocks, ends, [i for i in marks if hit is None or i > hit], now_s)
        return plan

    def commit(self, plan: Plan) -> None:
        """Make the writes of a request readable: its answer has begun."""
        self._entries.update(plan.entries)
        if len(self._entries) > _MAX_ENTRIES:
            self._drop_oldest()

    def _longest_hit(
        self, blocks: list[Block], ends: list[tuple[bytes, int]], marks: list[int], now_s: float
    ) -> int | None:
        for mark in reversed(marks):
            for i in _look_back(blocks, mark):
                entry = self._entries.get(ends[i][0])
                if entry is not None and entry[0] > now_s:
                    return i
        return None

    def _refresh(self, positions: list[int], ends: list[tuple[bytes, int]], now_s: float) -> None:
        for i in positions:
            digest = ends[i][0]
            expires_s, ttl_s = self._entries.get(digest, (0.0, 0))
            if expires_s > now_s:
                self._entries[digest] = (now_s + ttl_s, ttl_s)

    def _drop_oldest(self) -> None:
        by_expiry = sorted(self._entries.items(), key=lambda item: item[1][0])
        self._entries = dict(by_expiry[_MAX_ENTRIES // 10 :])


def scope_of(body: dict[str, Any], model: Model, workspace: str, speed: str) -> dict[str, Any]:
    """Return everything beside the blocks that a cached prefix depends on, by the level that it spoils."""
    config = body.get("output_config") or {}
    thinking = dict(body.get("thinking") or {"type": "adaptive" if model.thinks_unasked else "disabled"})
    thinking.pop("display", None)
    effort = config.get("effort") or model.default_effort
    return {
        "root": [workspace, model.id, speed, thinking, effort, config.get("format")],
        "messages": [body.get("tool_choice")],
    }


def _prefixes(prompt: Prompt, scope: dict[str, Any]) -> Iterator[tuple[bytes, int]]:
    """Yield for each block the hash of the prefix that ends with it, and the tokens of that prefix."""
    state = hashlib.blake2b(_stable(scope["root"]), digest_size=16)
    level, total = 0, 0
    for block in prompt.blocks:
        if level < SYSTEM <= block.level:
            state.update(b"\x00system")
        if level < MESSAGES <= block.level:
            state.update(b"\x00messages" + _stable([scope["messages"], prompt.has_images]))
        level = block.level
        state.update(content_of(block))
        total += block.tokens
        yield state.digest(), total


def content_of(block: Block) -> bytes:
    """Return what the model would see of a block: the order of keys counts only inside a tool's input."""
    raw = block.raw
    if block.kind == "text" and not raw.get("citations"):
        return f"\x00{block.role}\x01{raw['text']}".encode("utf-8", "surrogatepass")
    shown = sorted((key, value) for key, value in raw.items() if key != "cache_control")
    return b"\x00" + block.role.encode() + b"\x02" + _stable(shown)


def _stable(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _look_back(blocks: list[Block], mark: int) -> Iterator[int]:
    """Yield block indexes back over 20 positions; a run of tool_use or of tool_result is one position."""
    positions = 1
    for i in range(mark, -1, -1):
        yield i
        same_run = i > 0 and blocks[i].kind in _RUNS and blocks[i].kind == blocks[i - 1].kind
        positions += not same_run
        if positions > LOOK_BACK_POSITIONS:
            return


def _price_writes(
    plan: Plan, blocks: list[Block], ends: list[tuple[bytes, int]], marks: list[int], now_s: float
) -> None:
    """Charge 1-hour writes from the hit to the last 1-hour breakpoint, 5-minute ones from there on."""
    done = plan.read
    for i in marks:
        digest, size = ends[i]
        ttl_s = TTLS_S[str(blocks[i].ttl)]
        if blocks[i].ttl == "1h":
            plan.write_1h += size - done
        else:
            plan.write_5m += size - done
        done = size
        plan.entries[digest] = (now_s + ttl_s, ttl_s)


def metered(prompt: Prompt, plan: Plan) -> Metered:
    """Return the disjoint input classes of a call."""
    cached = plan.read + plan.write_5m + plan.write_1h
    return Metered(
        input=prompt.token_count - cached, write_5m=plan.write_5m, write_1h=plan.write_1h, read=plan.read
    )
