"""Telling people that a budget has reached a threshold: once a budget, instance, threshold and window."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from costsvc.metrics import Metrics
from costsvc.store.charges import Crossing

log = structlog.get_logger()


class Alerts:
    """The log and the metrics as places to hear of budgets; the store sees to it that each comes once."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def crossed(self, crossings: Iterable[Crossing]) -> None:
        """Say which thresholds were reached."""
        for crossing in crossings:
            self._metrics.budget_alert(crossing.threshold_permille)
            log.warning(
                "budget_threshold",
                budget_id=crossing.budget_id,
                instance=crossing.instance,
                threshold_permille=crossing.threshold_permille,
                window=crossing.window_key,
            )
