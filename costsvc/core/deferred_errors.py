"""The errors of deferred requests that callers can meet; `edge/status_deferred.py` turns them into statuses.

CostsvcError
└── DeferralError
    ├── NotDeferrable     the request does not stand alone, or batches do not take it
    ├── MustDefer         policy wants such requests deferred, and this one is to be answered at once
    ├── DeferredFull      too many requests wait
    └── UnknownDeferred   the tenant has no such request, or no longer
"""

from __future__ import annotations

from costsvc.core.errors import CostsvcError


class DeferralError(CostsvcError):
    """Anything that is wrong with deferring."""


class NotDeferrable(DeferralError):
    """The request cannot wait for a batch; `cause` says why. Nothing was spent."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"the request cannot be deferred: {cause}")
        self.cause = cause


class MustDefer(DeferralError):
    """The policy's `[defer]` names the task: its requests wait, at half price. Nothing was spent."""

    def __init__(self, task: str) -> None:
        super().__init__(f"policy wants requests of task {task!r} deferred: call Defer")
        self.task = task


class DeferredFull(DeferralError):
    """As many requests wait, or as many bytes of them, as the policy lets. Nothing was spent."""


class UnknownDeferred(DeferralError):
    """The tenant has no such request, or its answer is not kept any more."""

    def __init__(self, deferred_id: str) -> None:
        super().__init__(f"there is no deferred request {deferred_id!r}")
        self.deferred_id = deferred_id
