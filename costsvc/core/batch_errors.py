"""The errors of batches that callers can meet; `edge/status_batch.py` turns them into statuses.

CostsvcError
└── BatchError
    ├── UnknownBatch        the tenant has no such batch, or no longer
    ├── BatchNotEnded       its results are not all known yet
    ├── BatchItemsRefused   requests are bad, and nothing was sent
    ├── BatchTooLarge       more than one batch may have
    └── BatchResultsGone    the provider does not keep its results any more
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from costsvc.core.errors import CostsvcError


class BatchError(CostsvcError):
    """Anything that is wrong with a batch as a whole."""


class UnknownBatch(BatchError):
    """The tenant has no such batch, or it is forgotten."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"there is no batch {batch_id!r}")
        self.batch_id = batch_id


class BatchNotEnded(BatchError):
    """Some results are not known yet."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"batch {batch_id} has not ended")
        self.batch_id = batch_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An item that is not sent, and why."""

    index: int
    custom_id: str
    error: CostsvcError


class BatchItemsRefused(BatchError):
    """Requests are bad and the others must not go without them, or there are no others. Nothing was sent."""

    def __init__(self, refused: Sequence[Refused], count: int) -> None:
        super().__init__(f"{count} requests are refused; nothing was sent")
        self.refused = tuple(refused)
        self.count = count


class BatchTooLarge(BatchError):
    """More than one batch may have; `most` says of what. Nothing was sent."""

    def __init__(self, most: str) -> None:
        super().__init__(f"more than {most}; nothing was sent")
        self.most = most


class BatchResultsGone(BatchError):
    """The provider does not keep the results any more; what they cost is booked."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"the results of batch {batch_id} are not kept any more")
        self.batch_id = batch_id
