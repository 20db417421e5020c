"""How many tokens an image costs: read from its header, resized as the provider does, cut into patches.

A patch is 28 x 28 pixels and one token. Larger images are first shrunk to the largest size of the same shape
that keeps to the model's longest edge and most patches (Claude docs: vision).
"""

from __future__ import annotations

import binascii
from base64 import b64decode

PATCH_PIXELS = 28

_HEADER_CHARS = 1_024  # base64: enough for PNG, GIF, WebP and most JPEGs
_JPEG_CHARS = 262_144  # a JPEG's size can stand behind large metadata
_JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

Size = tuple[int, int]  # pixels: width, height


def read_size(data: object) -> Size | None:
    """Return the pixel size of a base64 PNG, JPEG, GIF or WebP; None where the header cannot be read."""
    if not isinstance(data, str):
        return None
    head = _decode(data, _HEADER_CHARS)
    is_jpeg = head.startswith(b"\xff\xd8")
    size = _read_fixed(head) if not is_jpeg else _read_jpeg(head) or _read_jpeg(_decode(data, _JPEG_CHARS))
    return size if size and min(size) > 0 else None


def count_patches(size: Size) -> int:
    """Return the tokens of an image that is not resized."""
    width, height = size
    return -(-width // PATCH_PIXELS) * -(-height // PATCH_PIXELS)


def count_image_tokens(size: Size, *, max_edge_pixels: int, max_tokens: int) -> int:
    """Return the tokens of an image after the provider has shrunk it to the model's limits."""
    low, high = 1, min(max(size), max_edge_pixels)
    if count_patches(_shrunk(size, high)) <= max_tokens:
        return count_patches(_shrunk(size, high))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count_patches(_shrunk(size, middle)) <= max_tokens else (low, middle)
    return count_patches(_shrunk(size, low))


def _shrunk(size: Size, long_edge: int) -> Size:
    width, height = size
    short_edge = max(1, (2 * long_edge * min(size) + max(size)) // (2 * max(size)))
    return (long_edge, short_edge) if width >= height else (short_edge, long_edge)


def _decode(data: str, chars: int) -> bytes:
    head = data[:chars]
    try:
        return b64decode(head[: len(head) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _read_fixed(head: bytes) -> Size | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if head.startswith((b"GIF87a", b"GIF89a")):
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _read_webp(head[12:16], head[20:])
    return None


def _read_webp(kind: bytes, body: bytes) -> Size | None:
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None


def _read_jpeg(data: bytes) -> Size | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:  # noqa: PLR2004 - every JPEG marker starts so
        marker = data[at + 1]
        if marker in _JPEG_SIZE_MARKERS:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")  # noqa: PLR2004
    return None
