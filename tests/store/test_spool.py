"""The items of batches on the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from costsvc.store.spool import Spool


async def test_a_file_makes_the_body_that_its_size_says(tmp_path: Path) -> None:
    """Each item under the part's id, whatever its JSON holds, and not a byte more than was announced."""
    spool = Spool(tmp_path)
    file = spool.begin("f")
    for index, params in enumerate((b'{"a":1}', b'{"b":\n"\xc3\xa4"}')):
        await file.add(index, params)
    await file.close()
    body = b"".join([piece async for piece in spool.pieces("f", "p" * 32)])
    assert len(body) == file.body_bytes
    assert json.loads(body) == {
        "requests": [
            {"custom_id": f"{'p' * 32}_0", "params": {"a": 1}},
            {"custom_id": f"{'p' * 32}_1", "params": {"b": "\u00e4"}},
        ]
    }


async def test_batches_leave_room_for_the_journal(tmp_path: Path) -> None:
    """What would fill the disk is refused, and can be removed."""
    spool = Spool(tmp_path, least_free_bytes=1 << 60)
    file = spool.begin("f")
    await file.add(0, b"{}")
    with pytest.raises(OSError, match="left free"):
        await file.close()
    await file.drop()
    assert not spool.has("f")
