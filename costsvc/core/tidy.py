"""Takes out of a prompt what carries nothing: white space at line ends, repeated blank lines and blocks.

What is code, or may be, stays as it is: there white space may mean something. A text is tidied by itself,
whatever stands around it, and twice is as good as once: so the same text is always sent in the same form, and
a prompt cache meets it again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from costsvc.core.json_text import Member

LONGEST_CHARS = 50_000
"""Longer texts stay as they are."""

SHORTEST_REPEATED_CHARS = 40
"""Shorter blocks may be repeated to separate others."""

_PLAIN_BLOCK = frozenset({"type", "text"})
_PLAIN_MESSAGE = frozenset({"role", "content"})
_CODE = re.compile(
    r"(?:diff --git |@@ |\+\+\+ |--- \S|#include\b|#!|import [\w{*]|from [\w.]+ import\b"
    r"|(?:async )?def \w+\s*\(|class \w.*:[ \t\r]*$|(?:export )?(?:async )?function\b.*\("
    r"|(?:let|var|const|type) \w.*=|package \w+[ \t\r]*$"
    r"|(?:public|private|protected|static|fn|func|interface|struct|enum|impl) \w)"
)
"""A line that may be one of a program, a patch or a configuration.

Nothing in it repeats twice over the same characters: a long line would take the square of its length.
"""

_CODE_ENDS = (";", "{", "}", "\\")

_KEPT_TAGS = "pre|code|script|style|textarea|xmp|documents?|document_contents?|files?|diff|patch|poem"
_OPENING = re.compile(rf"<(?:{_KEPT_TAGS})\b", re.IGNORECASE)
_CLOSING = re.compile(rf"</(?:{_KEPT_TAGS})\s*>", re.IGNORECASE)
_FENCE = re.compile(r"[ \t>\-*+0-9.)]*(`{3,}|~{3,})")
_FENCE_END = re.compile(r"[ \t>]*(`{3,}|~{3,})[ \t\r]*")
_INDENT = ("    ", "\t")
_UNTIDY = re.compile(r"[ \t]\r?(?:\n|\Z)|(?:\A|\n)\r?\n\r?(?:\n|\Z)")
"""White space before the end of a line, or two blank lines in a row: most texts have neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was taken out: spaces and line ends in so many places, and whole texts."""

    run_count: int = 0
    space_count: int = 0
    line_end_count: int = 0
    texts: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.run_count or self.texts)

    def __add__(self, other: Removed) -> Removed:
        return Removed(
            run_count=self.run_count + other.run_count,
            space_count=self.space_count + other.space_count,
            line_end_count=self.line_end_count + other.line_end_count,
            texts=self.texts + other.texts,
        )

    @property
    def words(self) -> str:
        """The same in words."""
        found = (
            (self.run_count, f"white space in {self.run_count} places"),
            (len(self.texts), f"{len(self.texts)} repeated blocks"),
        )
        return " and ".join(words for count, words in found if count)


def tidy_system(member: Member) -> tuple[Member, Removed]:
    """Return a system prompt without what carries nothing, the member itself where there is nothing."""
    value = member.value
    if isinstance(value, str):
        tidied, removed = tidy_text(value)
        return (Member(tidied), removed) if removed else (member, removed)
    if not _are_plain(value):
        return member, Removed()
    blocks, removed = _tidy_blocks(value)
    kept, repeated = _without_repetitions(blocks)
    removed += Removed(texts=repeated)
    return (Member(kept), removed) if removed else (member, removed)


def tidy_messages(member: Member) -> tuple[Member, Removed]:
    """Return messages with the only one tidied, if it is a user's text; the member itself otherwise."""
    message = member.value[0]
    if len(member.value) > 1 or message["role"] != "user" or message.keys() != _PLAIN_MESSAGE:
        return member, Removed()
    content = message["content"]
    if isinstance(content, str):
        tidied, removed = tidy_text(content)
        return (Member([{**message, "content": tidied}]), removed) if removed else (member, removed)
    if not _are_plain(content):
        return member, Removed()
    blocks, removed = _tidy_blocks(content)
    return (Member([{**message, "content": blocks}]), removed) if removed else (member, removed)


def tidy_text(text: str) -> tuple[str, Removed]:
    """Return a text without white space at the ends of lines, and with one blank line where there were more.

    Lines of code stay, and so do the blank ones around them, and a text that would be empty.
    """
    read = text.split("\n") if len(text) <= LONGEST_CHARS and _UNTIDY.search(text) else []
    kept = _kept(read)
    if any(_may_be_code(line) for line, is_kept in zip(read, kept, strict=True) if not is_kept):
        return text, Removed()
    lines: list[str] = []
    run_count = 0
    for (is_kept, is_blank), group in groupby(_sorted_out(read, kept), key=lambda line: line[:2]):
        run = [line for *_, line in group]
        tidied = run if is_kept else [_trimmed(line) for line in (run[:1] if is_blank else run)]
        run_count += sum(was != now for was, now in zip(run, tidied, strict=False))
        run_count += len(tidied) < len(run)
        lines += tidied
    tidied_text = "\n".join(lines)
    if not run_count or not tidied_text.strip():
        return text, Removed()
    line_end_count = text.count("\n") - tidied_text.count("\n")
    space_count = len(text) - len(tidied_text) - line_end_count
    return tidied_text, Removed(run_count=run_count, space_count=space_count, line_end_count=line_end_count)


def _trimmed(line: str) -> str:
    """Return a line without the spaces before its end; a carriage return there stays."""
    end = "\r" if line.endswith("\r") else ""
    return line.removesuffix("\r").rstrip(" \t") + end


def _may_be_code(line: str) -> bool:
    return _CODE.match(line) is not None or line.rstrip(" \t\r").endswith(_CODE_ENDS)


def _sorted_out(lines: Sequence[str], kept: Sequence[bool]) -> list[tuple[bool, bool, str]]:
    """Return each line with whether it is kept as it is, with the blank ones beside it, and whether blank."""
    beside = list(kept)
    blank = [not line.strip(" \t\r") for line in lines]
    for run in _runs(blank):
        if any(kept[max(run.start - 1, 0) : run.stop + 1]):
            beside[run.start : run.stop] = [True] * len(run)
    return list(zip(beside, blank, lines, strict=True))


def _runs(flags: Sequence[bool]) -> list[range]:
    """Return where flags are set one after the other."""
    found, at = [], 0
    for is_set, group in groupby(flags):
        count = len(list(group))
        if is_set:
            found.append(range(at, at + count))
        at += count
    return found


def _kept(lines: Sequence[str]) -> list[bool]:
    """Tell of each line whether it is code, or may be: fenced, tagged, indented, or a row of a table."""
    kept, fence, depth = [], "", 0
    for line in lines:
        is_kept = bool(fence or depth)
        if "<" in line:
            opened, closed = len(_OPENING.findall(line)), len(_CLOSING.findall(line))
            is_kept, depth = is_kept or opened > 0, max(depth + opened - closed, 0)
        if fence:
            end = _FENCE_END.fullmatch(line)
            fence = "" if end and end[1].startswith(fence) else fence
        elif mark := _FENCE.match(line):
            fence, is_kept = mark[1], True
        kept.append(is_kept or _is_indented(line) or "\t" in line.strip())
    return kept


def _is_indented(line: str) -> bool:
    return line.startswith(_INDENT) and bool(line.strip())


def _are_plain(blocks: Any) -> bool:
    """Tell whether blocks are texts with nothing else on them: no breakpoints, no citations."""
    return isinstance(blocks, list) and all(
        block["type"] == "text" and block.keys() == _PLAIN_BLOCK for block in blocks
    )


def _tidy_blocks(blocks: Sequence[Any]) -> tuple[list[Any], Removed]:
    found = [tidy_text(block["text"]) for block in blocks]
    tidied = [{**block, "text": text} for block, (text, _) in zip(blocks, found, strict=True)]
    return tidied, sum((removed for _, removed in found), start=Removed())


def _without_repetitions(blocks: Sequence[Any]) -> tuple[list[Any], tuple[str, ...]]:
    """Return blocks without those that say what an earlier one says, and the texts of the others."""
    seen: set[str] = set()
    kept, repeated = [], []
    for block in blocks:
        text = block["text"]
        if text in seen:
            repeated.append(text)
        else:
            kept.append(block)
        if len(text) >= SHORTEST_REPEATED_CHARS:
            seen.add(text)
    return kept, tuple(repeated)
