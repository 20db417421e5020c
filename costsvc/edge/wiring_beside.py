"""Puts together what makes calls of its own beside those of callers."""

from __future__ import annotations

from dataclasses import dataclass

from costsvc.app.classifier import Classifier
from costsvc.app.holding import Holding
from costsvc.app.ids import new_id
from costsvc.app.in_flight import InFlight
from costsvc.app.planner import Planner
from costsvc.app.settle import Settlement
from costsvc.app.shadow import Shadows
from costsvc.app.side_calls import SideCalls
from costsvc.edge.wiring_router import RouterParts
from costsvc.metrics import Metrics
from costsvc.ports import SystemClock, Upstream
from costsvc.store.verdicts import VerdictBook


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideParts:
    """What sorts requests that nothing else is known of, and what compares answers."""

    classifier: Classifier
    shadows: Shadows


def wire_beside(  # noqa: PLR0917 - parts of one process
    planner: Planner,
    upstream: Upstream,
    settlement: Settlement,
    holding: Holding,
    in_flight: InFlight,
    router: RouterParts,
    verdicts: VerdictBook,
    secret: bytes,
    metrics: Metrics,
) -> BesideParts:
    """Return the parts; `secret` is what verdicts are kept under."""
    clock = SystemClock()
    side_calls = SideCalls(
        planner=planner, upstream=upstream, holding=holding, settlement=settlement, clock=clock
    )
    classifier = Classifier(
        planner=planner,
        side_calls=side_calls,
        in_flight=in_flight,
        verdicts=verdicts,
        secret=secret,
        metrics=metrics,
        clock=clock,
        new_id=new_id,
    )
    shadows = Shadows(
        planner=planner,
        side_calls=side_calls,
        in_flight=in_flight,
        pairs=router.pairs,
        outcomes=router.outcomes,
        metrics=metrics,
        clock=clock,
        new_id=new_id,
    )
    return BesideParts(classifier=classifier, shadows=shadows)
