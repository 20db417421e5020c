"""Finding a batch at the provider that a process created and did not live to write down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from costsvc.app.batch_results import Unreadable, index_in
from costsvc.core.batch import Part
from costsvc.core.errors import Failure, ProviderError
from costsvc.ports import BatchUpstream, ProviderBatch
from costsvc.store.batches import BatchBook

_SKEW = timedelta(minutes=5)
"""How far the provider's clock may be from ours."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to: the part's own batch, or those that may be it and still run."""

    own: ProviderBatch | None
    running: tuple[ProviderBatch, ...]
    part: Part


async def find(part: Part, book: BatchBook, upstream: BatchUpstream) -> Found:
    """Look among the batches that are newer than the part's head, unknown, and of its size.

    One that has ended is told by its first result; `part` then has the others among its `rejected`.

    Raises:
        ProviderError, StoreUnavailable: try again.
    """
    running = []
    for each in await _candidates(part, book, upstream):
        if not each.has_ended:
            running.append(each)
        elif await _is_of(part, each, upstream):
            return Found(each, (), part)
        else:
            part = replace(part, rejected=(*part.rejected, each.id))
    return Found(None, tuple(running), part)


async def _candidates(part: Part, book: BatchBook, upstream: BatchUpstream) -> list[ProviderBatch]:
    newer: list[ProviderBatch] = []
    oldest = (part.creating_at or part.started_at) - _SKEW
    after = ""
    while True:
        page = await upstream.page(after=after)
        for each in page.batches:
            if each.id == part.head or each.created_at < oldest:
                return await _unknown(part, newer, book)
            newer.append(each)
        after = page.after
        if not after:
            return await _unknown(part, newer, book)


async def _unknown(part: Part, newer: list[ProviderBatch], book: BatchBook) -> list[ProviderBatch]:
    same_size = [
        each for each in newer if each.item_count == part.item_count and each.id not in part.rejected
    ]
    ours = await book.ours([each.id for each in same_size])
    return [each for each in same_size if each.id not in ours]


async def _is_of(part: Part, ended: ProviderBatch, upstream: BatchUpstream) -> bool:
    """Tell by the first result; one without results is nobody's."""
    try:
        async for line in upstream.results(ended):
            index_in(line.data, part)
            return True
    except Unreadable:
        return False
    except ProviderError as error:
        if error.failure is not Failure.NOT_FOUND:
            raise
    return False
