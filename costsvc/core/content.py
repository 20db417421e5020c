"""Takes a request apart into what costs tokens: kinds of characters, images, documents, tools.

Nothing here knows a model or a tokenizer, so one measurement serves every candidate. A request is walked
once, block by block; large texts are sampled, so that a body of many megabytes costs milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from costsvc.core.characters import count_kinds
from costsvc.core.images import Size, read_size

_PDF_BYTES_PER_PAGE, _PDF_PAGE_TOKENS = 50_000, 2_500
_REMOTE_TOKENS = 5_000  # a document behind a URL or a file id: a guess
_STRUCTURE_ALLOWANCE = 2  # JSON may be laid out with more white space than we write it
_LARGEST_EXACT_CHARS = 1_000_000  # above, four bytes a character are past every context window anyway
_FAR_READING = frozenset({"mcp_servers", "container", "thread"})
"""Request fields through which the provider reads what the request does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a request holds, before any model is chosen.

    `byte_count` is the UTF-8 length of all its text, an upper bound on its tokens. `unbounded` is set where
    the provider reads more than the request holds: server tools, and what lies behind a URL or an id.
    """

    kind_counts: tuple[int, ...]  # by characters.CHARACTER_KINDS
    byte_count: int
    image_sizes: tuple[Size | None, ...]
    document_tokens: int
    message_count: int
    block_count: int
    tool_count: int
    provider_tool_count: int
    forced_tool_choice: bool
    structured_output: bool
    unbounded: bool


def measure(body: Mapping[str, Any]) -> Content:
    """Return what a Messages request holds, from its parsed JSON. Odd shapes are counted as their JSON."""
    found = _Found()
    messages = _items(body.get("messages"))
    _collect(body.get("system"), found)
    for message in messages:
        _collect(message.get("content") if isinstance(message, dict) else message, found)
    tools = _items(body.get("tools"))
    provider_tool_count = sum(map(_is_provider_tool, tools))
    output_format = _mapping(body.get("output_config")).get("format")
    found.add_structures([*tools, *([output_format] if output_format else [])])
    return Content(
        kind_counts=count_kinds(found.texts),
        byte_count=sum(map(_byte_count, found.texts)) + found.extra_byte_count,
        image_sizes=tuple(found.image_sizes),
        document_tokens=found.document_tokens,
        message_count=len(messages),
        block_count=found.block_count,
        tool_count=len(tools),
        provider_tool_count=provider_tool_count,
        forced_tool_choice=_type_of(body.get("tool_choice")) in {"any", "tool"},
        structured_output=output_format is not None,
        unbounded=found.unbounded or provider_tool_count > 0 or not _FAR_READING.isdisjoint(body),
    )


@dataclass(slots=True)
class _Found:
    """What a walk through a request has come across."""

    texts: list[str] = field(default_factory=list)
    extra_byte_count: int = 0
    image_sizes: list[Size | None] = field(default_factory=list)
    document_tokens: int = 0
    block_count: int = 0
    unbounded: bool = False

    def add_structures(self, values: Iterable[Any]) -> None:
        """Count JSON as it is likely to be written out."""
        for value in values:
            text = _to_json(value)
            self.texts.append(text)
            self.extra_byte_count += (_STRUCTURE_ALLOWANCE - 1) * _byte_count(text)

    def add_hidden(self, sealed: Any, shown: str = "") -> None:
        """Count sealed content (base64) as prose, beyond what of it is shown."""
        if isinstance(sealed, str):
            hidden_chars = max(len(sealed) * 3 // 4 - len(shown), 0)
            self.texts.append("e" * min(hidden_chars, _LARGEST_EXACT_CHARS))
            self.extra_byte_count += len(sealed)


def _collect(content: Any, found: _Found) -> None:
    """Add a system prompt, or a content: a string, or blocks, some of which hold content themselves."""
    if isinstance(content, str):
        found.texts.append(content)
        return
    for block in _items(content):
        found.block_count += 1
        read = _READERS.get(_type_of(block))
        if read:
            read(block, found)
        else:
            found.add_structures([block])


def _collect_text(block: Mapping[str, Any], found: _Found) -> None:
    text = block.get("text")
    if isinstance(text, str):
        found.texts.append(text)


def _collect_tool_use(block: Mapping[str, Any], found: _Found) -> None:
    found.add_structures([block.get("name"), block.get("input")])


def _collect_tool_result(block: Mapping[str, Any], found: _Found) -> None:
    _collect(block.get("content"), found)


def _collect_thinking(block: Mapping[str, Any], found: _Found) -> None:
    thinking = block.get("thinking")
    shown = thinking if isinstance(thinking, str) else ""
    found.texts.append(shown)
    found.add_hidden(block.get("signature"), shown)


def _collect_redacted(block: Mapping[str, Any], found: _Found) -> None:
    found.add_hidden(block.get("data"))


def _collect_image(block: Mapping[str, Any], found: _Found) -> None:
    source = block.get("source")
    found.image_sizes.append(read_size(source.get("data")) if isinstance(source, dict) else None)


def _collect_document(block: Mapping[str, Any], found: _Found) -> None:
    found.texts += [text for text in (block.get("title"), block.get("context")) if isinstance(text, str)]
    source = block.get("source")
    if not isinstance(source, dict):
        return
    if source.get("type") == "text":
        _collect(source.get("data"), found)
    elif source.get("type") == "content":
        _collect(source.get("content"), found)
    else:
        found.document_tokens += _guess_document_tokens(source.get("data"))
        found.unbounded = True


def _guess_document_tokens(data: Any) -> int:
    if not isinstance(data, str):
        return _REMOTE_TOKENS
    page_count = -(-len(data) * 3 // (4 * _PDF_BYTES_PER_PAGE)) or 1
    return page_count * _PDF_PAGE_TOKENS


def _collect_search_result(block: Mapping[str, Any], found: _Found) -> None:
    found.texts += [text for text in (block.get("title"), block.get("source")) if isinstance(text, str)]
    _collect(block.get("content"), found)


_READERS = {
    "text": _collect_text,
    "image": _collect_image,
    "document": _collect_document,
    "tool_use": _collect_tool_use,
    "server_tool_use": _collect_tool_use,
    "tool_result": _collect_tool_result,
    "thinking": _collect_thinking,
    "redacted_thinking": _collect_redacted,
    "search_result": _collect_search_result,
}


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _type_of(value: Any) -> str:
    kind = _mapping(value).get("type")
    return kind if isinstance(kind, str) else ""


def _is_provider_tool(tool: Any) -> bool:
    return _mapping(tool).get("type") is not None and _type_of(tool) != "custom"


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _byte_count(text: str) -> int:
    if text.isascii():
        return len(text)
    if len(text) > _LARGEST_EXACT_CHARS:
        return 4 * len(text)
    return len(text.encode("utf-8", "surrogatepass"))
