"""How requests, answers and errors of deferred calls are written: the edge knows, here they are bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from costsvc.app.attempt import Completed
from costsvc.app.batch_results import ItemResult
from costsvc.core.batch import Batch
from costsvc.core.errors import CostsvcError
from costsvc.core.request import ModelRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """`read` raises InvalidRequest where a request that was taken in cannot be read by this version."""

    read: Callable[[bytes], ModelRequest]
    write_answer: Callable[[Completed], bytes]
    write_result: Callable[[Batch, ItemResult], bytes]
    write_error: Callable[[CostsvcError], bytes]
