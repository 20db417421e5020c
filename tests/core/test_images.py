from __future__ import annotations

import base64
import struct
import zlib

import pytest

from costsvc.core.catalog import load_catalog
from costsvc.core.images import count_image_tokens, read_size
from costsvc.core.tokens import TokenEstimate, estimate_input, measure
from costsvc.data import read_text

CATALOG = load_catalog(read_text("catalog.toml"))
OLD, NEW = CATALOG.resolve("claude-opus-4-6"), CATALOG.resolve("claude-opus-5-5")


def estimated(*blocks: object) -> TokenEstimate:
    """Return the estimate of a message of these blocks."""
    return estimate_input(measure({"messages": [{"role": "user", "content": list(blocks)}]}), NEW)


def png(width: int, height: int) -> bytes:
    """Return a PNG's beginning."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + header
        + struct.pack(">I", zlib.crc32(header))
    )


def gif(width: int, height: int) -> bytes:
    """Return a GIF's beginning."""
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(20)


def jpeg(width: int, height: int, metadata_bytes: int = 20) -> bytes:
    """Return a JPEG's beginning, with metadata before the size."""
    metadata = b"".join(
        b"\xff\xe1" + struct.pack(">H", part + 2) + bytes(part) for part in _parts(metadata_bytes)
    )
    return b"\xff\xd8" + metadata + b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + bytes(20)


def _parts(total: int) -> list[int]:
    return [60_000] * (total // 60_000) + [total % 60_000]


def webp(kind: bytes, body: bytes) -> bytes:
    """Return a WebP's beginning."""
    return b"RIFF\x00\x00\x00\x00WEBP" + kind + b"\x00\x00\x00\x00" + body + bytes(20)


IMAGES = {
    "png": png(640, 480),
    "gif": gif(640, 480),
    "jpeg": jpeg(640, 480),
    "jpeg with much metadata": jpeg(640, 480, metadata_bytes=150_000),
    "webp lossy": webp(b"VP8 ", bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", 640, 480)),
    "webp lossless": webp(b"VP8L", b"\x2f" + struct.pack("<I", (639) | (479 << 14))),
    "webp extended": webp(b"VP8X", bytes(4) + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")),
}


@pytest.mark.parametrize("name", IMAGES)
def test_image_sizes_are_read_from_headers(name: str) -> None:
    """Each format gives away its size in its first bytes, and costs its patches."""
    data = base64.b64encode(IMAGES[name]).decode()
    assert read_size(data) == (640, 480)
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/x", "data": data}}
    without, with_image = estimated(), estimated(image)
    assert with_image.expected - without.expected == 23 * 18


@pytest.mark.parametrize(
    "data", [None, 3, "", "!!!!", "AAAA", "iVBORw0KGgo=", "R0lG", base64.b64encode(png(0, 5)).decode(), "é"]
)
def test_unreadable_images_cost_the_largest(data: object) -> None:
    """Without a size an image counts as the largest that the model reads."""
    image = {"type": "image", "source": {"type": "base64", "data": data}}
    without, with_image = estimated(), estimated(image)
    assert with_image.expected - without.expected == 4784
    assert with_image.bound - without.bound >= 4784


@pytest.mark.parametrize(
    ("size", "old_tokens", "new_tokens"),
    [
        ((28, 28), 1, 1),
        ((1024, 768), 1036, 1036),
        ((1075, 1520), 33 * 47, 39 * 55),
        ((3840, 2160), 52 * 30, 92 * 52),
        ((8000, 10), 56, 92),
        ((10, 8000), 56, 92),
    ],
)
def test_images_are_shrunk_as_published(size: tuple[int, int], old_tokens: int, new_tokens: int) -> None:
    """The largest size of the same shape that keeps to both limits decides."""
    for model, tokens in ((OLD, old_tokens), (NEW, new_tokens)):
        limits = model.tokenizer
        assert (
            count_image_tokens(
                size, max_edge_pixels=limits.image_max_edge_pixels, max_tokens=limits.image_max_tokens
            )
            == tokens
        )
