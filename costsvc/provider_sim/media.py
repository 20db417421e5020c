"""Sizes of pictures and documents, read from their own headers."""

from __future__ import annotations

import base64
import binascii
from typing import Any

_PATCH_PIXELS = 28
_LONG_EDGE_PIXELS = 1568
_MAX_IMAGE_TOKENS = 1568
_UNSEEN_IMAGE_TOKENS = 1200  # a picture behind a URL or a file id: nothing is fetched
_PAGE_TOKENS = 1800
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_tokens(source: dict[str, Any]) -> int:
    """Return ceil(w/28) x ceil(h/28) after the picture is shrunk to the size that the model sees."""
    if source.get("type") != "base64":
        return _UNSEEN_IMAGE_TOKENS
    size = _dimensions(_decode(str(source.get("data", ""))[: 64 * 1024]))
    if size is None:
        return _UNSEEN_IMAGE_TOKENS
    width, height = _shrunk(*size)
    patches = -(-width // _PATCH_PIXELS) * -(-height // _PATCH_PIXELS)
    return max(1, min(patches, _MAX_IMAGE_TOKENS))


def document_tokens(source: dict[str, Any]) -> int:
    """Return the tokens of a PDF by its pages; one that cannot be seen counts as one page."""
    if source.get("type") != "base64":
        return _PAGE_TOKENS
    raw = _decode(str(source.get("data", ""))).replace(b"/Type /Page", b"/Type/Page")
    pages = raw.count(b"/Type/Page") - raw.count(b"/Type/Pages")
    return max(1, pages) * _PAGE_TOKENS


def _decode(data: str) -> bytes:
    try:
        return base64.b64decode(data[: len(data) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _shrunk(width: int, height: int) -> tuple[int, int]:
    edge = max(width, height)
    if edge <= _LONG_EDGE_PIXELS:
        return width, height
    return max(1, width * _LONG_EDGE_PIXELS // edge), max(1, height * _LONG_EDGE_PIXELS // edge)


def _dimensions(raw: bytes) -> tuple[int, int] | None:
    if raw[:8] == b"\x89PNG\r\n\x1a\n":
        return int.from_bytes(raw[16:20]), int.from_bytes(raw[20:24])
    if raw[:4] == b"GIF8":
        return int.from_bytes(raw[6:8], "little"), int.from_bytes(raw[8:10], "little")
    if raw[:4] == b"RIFF" and raw[12:16] == b"VP8X":
        return int.from_bytes(raw[24:27], "little") + 1, int.from_bytes(raw[27:30], "little") + 1
    if raw[:2] == b"\xff\xd8":
        return _jpeg_dimensions(raw)
    return None


def _jpeg_dimensions(raw: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(raw) and raw[at] == 0xFF:  # noqa: PLR2004 - every JPEG segment starts with this byte
        if raw[at + 1] in _JPEG_FRAMES:
            return int.from_bytes(raw[at + 7 : at + 9]), int.from_bytes(raw[at + 5 : at + 7])
        at += 2 + int.from_bytes(raw[at + 2 : at + 4])
    return None
