"""The policy's `[defer]` table: who must defer, how long answers are kept, and how much may wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from costsvc.core.toml_rows import Row
from costsvc.core.urls import http_url

_SECOND = timedelta(seconds=1)
_LONGEST_KEPT = timedelta(days=29)
_LONGEST_WAIT = timedelta(hours=1)
_MOST_LANES = 1_000
_LEADING_OUT = ("/.", "..", "\\", "%2e", "%2f", "%5c", "%25")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferring:
    """How requests are deferred.

    `tasks` are answered deferred only. An answer is kept for `keep_answers`. A request waits at most
    `longest_wait` for others to share a batch with. Where no batch ends in time, `lanes` calls run side by
    side.
    """

    tasks: frozenset[str] = frozenset()
    keep_answers: timedelta = timedelta(hours=24)
    webhook_urls: tuple[str, ...] = ()
    longest_wait: timedelta = timedelta(minutes=5)
    lanes: int = 32
    most_requests: int = 100_000
    most_bytes: int = 1_000_000_000

    def may_post_to(self, url: str) -> bool:
        """Tell whether a caller may have something posted to a URL: the policy's, or a path below one.

        Paths that lead upwards, however they are written, lead out of it, and so may a separator in disguise.
        """
        if url in self.webhook_urls:
            return True
        path = url.partition("?")[0].lower()
        if any(sign in path for sign in _LEADING_OUT):
            return False
        return any(url.startswith(f"{allowed.rstrip('/')}/") for allowed in self.webhook_urls)


def read_deferring(row: Row) -> Deferring:
    """Return what a policy's `[defer]` table says.

    Raises:
        CatalogError: naming file, table and field.
    """
    usual = Deferring()
    deferring = Deferring(
        tasks=frozenset(row.texts("tasks", [])),
        keep_answers=_span(row, "keep_answers_s", usual.keep_answers, _LONGEST_KEPT),
        webhook_urls=tuple(_url(row, url) for url in row.texts("webhook_urls", [])),
        longest_wait=_span(row, "longest_wait_s", usual.longest_wait, _LONGEST_WAIT),
        lanes=_count(row, "lanes", usual.lanes, _MOST_LANES),
        most_requests=_count(row, "most_requests", usual.most_requests, 10_000_000),
        most_bytes=_count(row, "most_bytes", usual.most_bytes, 10**12),
    )
    row.finish()
    return deferring


def _span(row: Row, field: str, usual: timedelta, longest: timedelta) -> timedelta:
    return _count(row, field, usual // _SECOND, longest // _SECOND) * _SECOND


def _count(row: Row, field: str, usual: int, most: int) -> int:
    count = row.count(field, usual)
    if not 1 <= count <= most:
        raise row.error(field, f"must be from 1 to {most}")
    return count


def _url(row: Row, url: str) -> str:
    try:
        return http_url(url)
    except ValueError as error:
        raise row.error("webhook_urls", f"{url!r} {error}") from None
