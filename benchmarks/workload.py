"""The workload: what people at a shop for bicycles would ask of Claude in a day, written for this project.

`scenarios/*.toml` holds one scenario a file. A job is a question, or a conversation whose later turns follow
on real answers; `each` is a short form for jobs of one turn that share everything else. Jobs are spread so
that the scenarios mix as they do in a real service, the same way in every run.
"""

from __future__ import annotations

import base64
import struct
import tomllib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "scenarios"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of work; its turns are sent one after the other.

    `request` has fields of `costsvc.v1.Request` by name. With anything in `body`, or with content that is
    more than text, the job is sent as the provider's own JSON. `streams` says of each call whether it is
    streamed.
    """

    job_id: str
    scenario: str
    turns: tuple[str, ...]
    streams: tuple[bool, ...]
    request: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    system: str = ""
    mark_system: bool = False
    conversation: bool = False
    tool_result: str = ""
    image_base64: str = ""
    own_call: bool = False

    @property
    def call_count(self) -> int:
        """How many calls the job makes: one a turn, and one more to hand in what a tool returned."""
        return len(self.streams)

    @property
    def as_json(self) -> bool:
        """Whether the simple fields cannot say it."""
        return bool(self.body or self.image_base64 or self.mark_system)


def load(calls: int | None = None) -> list[Job]:
    """Return the whole workload, or a small one of about `calls` calls with jobs of every scenario."""
    scenarios = [list(_jobs(tomllib.loads(path.read_text()))) for path in sorted(DATA.glob("*.toml"))]
    if calls is not None:
        scenarios = _fewer(scenarios, calls)
    return _spread(scenarios)


def _jobs(document: Mapping[str, Any]) -> Iterator[Job]:
    call = 0
    for number, row in enumerate(_rows(document["job"]), start=1):
        merged = _merge({name: value for name, value in document.items() if name != "job"}, row)
        count = len(merged["turns"]) + ("tool_result" in merged)
        every = merged["stream_every"]
        streams = tuple(every > 0 and at % every == 0 for at in range(call, call + count))
        call += count
        yield _job(merged, number, streams)


def _rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        rest = {name: value for name, value in row.items() if name != "each"}
        yield from ({**rest, "turns": [text]} for text in row["each"]) if "each" in row else (rest,)


def _job(row: Mapping[str, Any], number: int, streams: tuple[bool, ...]) -> Job:
    prompt = row.get("prompt")
    return Job(
        job_id=f"{row['scenario'].replace(' ', '-')}-{number}",
        scenario=row["scenario"],
        turns=tuple(text.strip() for text in row["turns"]),
        streams=streams,
        request=row.get("request", {}),
        body=row.get("body", {}),
        system=(DATA / "prompts" / f"{prompt}.md").read_text() if prompt else row.get("system", ""),
        mark_system=row.get("mark_prompt", False),
        conversation=row.get("conversation", False),
        tool_result=row.get("tool_result", ""),
        image_base64=_picture(**row["image"]) if "image" in row else "",
        own_call=row.get("own_call", False),
    )


def _merge(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the common values under a row's own; tables are merged member by member."""
    merged = dict(common)
    for name, value in own.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merge(merged[name], value) if both else value
    return merged


def _picture(width: int, height: int) -> str:
    """Return a PNG in base64: a grey that fades downwards, with a dark line across it."""
    rows = (
        bytes([0]) + bytes([40 if y * 5 // 3 == x else 230 - 90 * y // height for x in range(width)])
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows), 9)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return base64.b64encode(png).decode()


def _fewer(scenarios: list[list[Job]], calls: int) -> list[list[Job]]:
    """Take jobs in turn from each scenario until there are enough calls."""
    chosen: list[list[Job]] = [[] for _ in scenarios]
    for round_ in zip_longest(*scenarios):
        for kept, job in zip(chosen, round_, strict=True):
            if job is not None and calls > 0:
                kept.append(job)
                calls -= job.call_count
    return chosen


def _spread(scenarios: list[list[Job]]) -> list[Job]:
    """Mix the scenarios evenly, so that each is present from the beginning to the end."""
    placed = [((at + 0.5) / len(jobs), job.job_id, job) for jobs in scenarios for at, job in enumerate(jobs)]
    return [job for _, _, job in sorted(placed, key=lambda entry: entry[:2])]
