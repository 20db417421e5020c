"""Hashes a prompt as it is walked: what has come so far, how long it is, and where breakpoints may sit.

Values are spelt in version 2 of Python's own serialisation, which is the same for equal values, is made four
times as fast as JSON, and spells a list as its items one after the other, so that prefixes stay prefixes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from marshal import dumps
from typing import Any

from costsvc.core.prefixes import DIGEST_BYTES, MOST_MARKERS, Spot

SAMPLED_BYTES = 1_000_000
RUNS = frozenset({"tool_use", "tool_result"})
_BINARY_BYTES = 6_000  # an image or a page is worth about so much text, whatever its bytes
_VERSION, _LIST_HEAD_BYTES = 2, 5
_END_OF_MESSAGE = dumps(None, _VERSION)


class Walk:
    """What a walk through a prompt has come across; `parts` are not hashed yet.

    `size` is in bytes, but for what is binary. Without `has_markers` no block has one of the caller's.
    """

    def __init__(self, turn_ends: int) -> None:
        self.turn_ends = turn_ends
        self.has_markers = False
        self.parts: list[bytes] = []
        self.spots: list[Spot] = []
        self.size = 0
        self.position = 0
        self.last_kind = ""
        self.last_size = 0
        self.last_markable: tuple[str, int, int] | None = None
        self.marker_count = 0
        self.state = hashlib.sha256()

    def add(self, value: Any) -> None:
        """Add a value that is no block."""
        self._append(dumps(value, _VERSION))

    def add_all(self, values: list[Any]) -> None:
        """Add values one after the other, in one go."""
        self._append(dumps(values, _VERSION)[_LIST_HEAD_BYTES:])

    def add_text(self, text: str) -> None:
        """Add a text that stands for a block; of a very long one both ends and the length."""
        if len(text) > SAMPLED_BYTES:
            half = SAMPLED_BYTES // 2
            self.size += len(text) - SAMPLED_BYTES
            self.add_all([len(text), text[:half], text[-half:]])
        else:
            self.add(text)
        self.position += 1
        self.last_kind = "text"

    def end_message(self) -> None:
        """Add the end of a message."""
        self.parts.append(_END_OF_MESSAGE)

    def add_block(self, block: Mapping[str, Any], kind: str, *, alone: bool = False) -> str:
        """Add a block, and return the caller's breakpoint on it, or inside it, if there is one.

        A text that is `alone` in its message is spelt as if it had come as a string.
        """
        marker = self._marker_of(block) if self.has_markers else ""
        if marker:
            block = _bare(block)
        if alone and is_plain(block):
            self.add_text(block["text"])
            return marker
        self.add(block)
        source = block.get("source")
        if isinstance(source, dict) and source.get("type") not in {"text", "content"}:
            self.size += _BINARY_BYTES - self.last_size
        self.position += kind not in RUNS or kind != self.last_kind
        self.last_kind = kind
        return marker

    def end(self, member: str, index: int, block: int, kin: str, marker: str = "") -> None:
        """Note a spot here."""
        self.state.update(b"".join(self.parts))
        self.parts.clear()
        digest = self.state.digest()[:DIGEST_BYTES]
        self.spots.append(Spot(member, index, block, kin, digest, self.size, self.position, marker))

    def place_automatic(self, automatic: Mapping[str, Any]) -> None:
        """Take the automatic breakpoint for one on the last block that can have it (Claude docs).

        It counts also where that block has one: the provider takes it beside at most three others.
        """
        self.marker_count += 1
        for at in reversed(range(len(self.spots))):
            spot = self.spots[at]
            if (spot.member, spot.at, spot.block) == self.last_markable:
                self.spots[at] = spot._replace(marker=spot.marker or _ttl(automatic))
                return
        self.marker_count = max(self.marker_count, MOST_MARKERS)  # it lands where no spot is: add none

    def _append(self, spelt: bytes) -> None:
        """Add bytes; of very many only both ends and their number, because others wait meanwhile."""
        self.last_size = len(spelt)
        self.size += self.last_size
        if self.last_size > SAMPLED_BYTES:
            half = SAMPLED_BYTES // 2
            spelt = dumps(self.last_size, _VERSION) + spelt[:half] + spelt[-half:]
        self.parts.append(spelt)

    def _marker_of(self, block: Mapping[str, Any]) -> str:
        """Return the caller's breakpoint on a block, or on one inside it."""
        found = [block.get("cache_control")]
        inner = block.get("content")
        if isinstance(inner, list):
            found += [item.get("cache_control") for item in inner if isinstance(item, dict)]
        markers = [marker for marker in found if isinstance(marker, dict)]
        self.marker_count += len(markers)
        return min(map(_ttl, markers), default="")


def is_plain(block: Mapping[str, Any]) -> bool:
    """Tell whether a block is a text and nothing else."""
    return len(block) == 2 and block["type"] == "text"  # noqa: PLR2004


def _bare(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return a block without the caller's breakpoint on it, or in what it holds."""
    bare = {name: value for name, value in block.items() if name != "cache_control"}
    inner = bare.get("content")
    if isinstance(inner, list):
        bare["content"] = [_bare(item) if isinstance(item, dict) else item for item in inner]
    return bare


def _ttl(marker: Mapping[str, Any]) -> str:
    return "1h" if marker.get("ttl") == "1h" else "5m"
