"""Taking in the items of a batch: each is checked and planned, what is sent goes to the disk at once.

In memory stays, of each item, what is kept of it, packed. A bad item is noted and not sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from costsvc.app.definitions import InForce
from costsvc.app.ids import new_id
from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.app.prompt_caching import PromptCaching
from costsvc.app.turns import Turns
from costsvc.core.batch import (
    MAX_ITEMS,
    MAX_PART_BYTES,
    MAX_PART_ITEMS,
    Item,
    Kind,
    Part,
    PartHold,
    check_item,
)
from costsvc.core.batch_errors import BatchTooLarge, Refused
from costsvc.core.deferred_errors import NotDeferrable
from costsvc.core.errors import CostsvcError, InvalidRequest, NoModelFits, Violation
from costsvc.core.holds import Hold, check_bounded
from costsvc.core.money import format_usd
from costsvc.core.prospect import cost_range, hold_for
from costsvc.core.request import ModelRequest
from costsvc.store import batch_codec
from costsvc.store.charges import charge_of
from costsvc.store.exchange import Exchange
from costsvc.store.spool import Spool, SpoolFile

SHOWN_REFUSALS = 1_000
"""How many refusals the answer to a create names; the results have all."""

_PART_CANNOT_BE_FEWER = 16  # sets of headers: each makes a part of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An item as it comes: its request, or what is wrong with it, and bytes that stand for it."""

    custom_id: str
    request: ModelRequest | CostsvcError
    source: bytes


@dataclass(slots=True)
class _OpenPart:
    """A part that is being filled."""

    number: int
    file: SpoolFile
    headers: Mapping[str, str]
    holds: dict[tuple[str, ...], int]
    sums: list[PartHold]


class Intake:
    """The items of one batch of a tenant."""

    def __init__(
        self,
        *,
        planner: Planner,
        prompt_caching: PromptCaching,
        in_force: InForce,
        spool: Spool,
        tenant: str,
        started_at: datetime,
    ) -> None:
        self._planner = planner
        self._prompt_caching = prompt_caching
        self._in_force = in_force
        self._spool = spool
        self._tenant = tenant
        self._started_at = started_at
        self._print = sha256()
        self._ids: set[str] = set()
        self._rows: list[Item] = []
        self._open: dict[tuple[tuple[str, str], ...], _OpenPart] = {}
        self._parts: list[_OpenPart] = []
        self._turns = Turns()
        self.first: ModelRequest | None = None
        """The first good item's request."""
        self.packed: list[bytes] = []
        self.refused: list[Refused] = []
        self.item_count = 0
        self.refused_count = 0
        self.expected_nano_usd = 0

    @property
    def fingerprint(self) -> str:
        """What stands for all items: a repeat has the same."""
        return self._print.hexdigest()

    @property
    def names(self) -> list[str]:
        """The files that are written."""
        return [part.file.name for part in self._parts]

    async def add(self, items: Iterable[Given]) -> None:
        """Take items in.

        Raises:
            BatchTooLarge: one too many.
            OSError: the disk does not take them.
        """
        for given in items:
            if self.item_count >= MAX_ITEMS:
                raise BatchTooLarge(f"{MAX_ITEMS} requests")
            await self._add(given)
            self.item_count += 1
            await self._turns.give()

    async def parts(self) -> tuple[Part, ...]:
        """End, and return the parts, which are durable then."""
        self._pack()
        return tuple([await self._part(part) for part in self._parts])

    async def drop(self) -> None:
        """Remove what was written."""
        for part in self._parts:
            await part.file.drop()

    async def _add(self, given: Given) -> None:
        self._print.update(b"%s %d " % (given.custom_id.encode(errors="replace"), len(given.source)))
        self._print.update(given.source)
        index = self.item_count
        try:
            item = await self._sent(index, given)
        except CostsvcError as error:
            item = self._refuse(index, given, error)
        self._rows.append(item)
        if len(self._rows) == batch_codec.ROWS_AT_ONCE:
            self._pack()

    async def _sent(self, index: int, given: Given) -> Item:
        """Write an item that is good, and return what is kept of it."""
        if isinstance(given.request, CostsvcError):
            raise given.request
        request = given.request
        check_item(given.custom_id, request)
        if self._planner.policy.zero_retention:
            raise NotDeferrable("zero_retention: the provider keeps the results of batches for 29 days")
        if given.custom_id in self._ids:
            raise InvalidRequest(Violation("custom_id", "is that of an earlier request"))
        plan, hold, expected_nano_usd = await self._planned(request)
        applications = self._in_force.applying(
            tenant=self._tenant, labels=request.labels, model=plan.decision.model.id, at=self._started_at
        )
        check_bounded(hold, applications)
        params = plan.body(stream=False)
        part = self._part_for(index, plan, params)
        item = replace(
            _kept(index, given.custom_id, plan),
            part=part.number,
            hold=_held(part, tuple(map(charge_of, applications)), plan, hold),
            q_nano_usd=hold.q_nano_usd,
            w_nano_usd=hold.most_nano_usd,
        )
        await part.file.add(index, params)
        self.first = self.first or request
        self._ids.add(given.custom_id)
        self.expected_nano_usd += expected_nano_usd
        return item

    async def _planned(self, request: ModelRequest) -> tuple[Plan, Hold, int]:
        """Return the plan, what to hold, and what to expect, at half price.

        So a bound on the cost is one on half the standard price; what is not half as dear is looked at again.
        """
        most = request.max_cost_nano_usd
        asked = replace(request, max_cost_nano_usd=2 * most, checks=None)
        plan = await self._marked(self._planner.plan(asked, self._tenant, self._started_at))
        prospect = self._planner.foresee(plan, self._tenant)
        hold = hold_for(self._planner.catalog, prospect, at=self._started_at, batch=True)
        if most and hold.q_nano_usd > most:
            problem = f"may cost {format_usd(hold.q_nano_usd)}, more than {format_usd(most)}"
            raise NoModelFits({plan.decision.model.id: problem})
        costs = cost_range(self._planner.catalog, prospect, at=self._started_at, batch=True, warm=False)
        return plan, hold, costs.expected

    async def _marked(self, plan: Plan) -> Plan:
        """Return a plan with the breakpoints that pay in a batch; only long prompts take a trip for it."""
        exchange = Exchange()
        look = self._prompt_caching.ask(exchange, plan, self._tenant)
        if look is None:
            return plan
        await exchange.send()
        known = replace(plan, prompt=look.result())
        return self._prompt_caching.marked(known, self._tenant, self._started_at, batch=True)

    def _part_for(self, index: int, plan: Plan, params: bytes) -> _OpenPart:
        """Return the part that takes an item, a new one where the last of its headers is full."""
        key = tuple(sorted(plan.headers.items()))
        part = self._open.get(key)
        full = part is not None and (
            part.file.count >= MAX_PART_ITEMS or not part.file.takes(index, params, MAX_PART_BYTES)
        )
        if part is None and len(self._open) >= _PART_CANNOT_BE_FEWER:
            problem = f"more than {_PART_CANNOT_BE_FEWER} sets of betas in one batch"
            raise InvalidRequest(Violation("request.betas", problem))
        if part is None or full:
            part = _OpenPart(len(self._parts), self._spool.begin(new_id()), plan.headers, {}, [])
            self._parts.append(part)
            self._open[key] = part
        return part

    def _refuse(self, index: int, given: Given, error: CostsvcError) -> Item:
        shown = given.custom_id[:64].encode(errors="replace").decode()
        self.refused_count += 1
        if len(self.refused) < SHOWN_REFUSALS:
            self.refused.append(Refused(index=index, custom_id=shown, error=error))
        return Item(
            index=index,
            custom_id=shown,
            kind=Kind.REFUSED,
            reason=type(error).__name__,
            problem=str(error)[:500],
        )

    def _pack(self) -> None:
        if self._rows:
            self.packed.append(batch_codec.pack(self._rows))
            self._rows = []

    async def _part(self, part: _OpenPart) -> Part:
        await part.file.close()
        return Part(
            id=part.file.name,
            file=part.file.name,
            spool=self._spool.id,
            item_count=part.file.count,
            byte_count=part.file.body_bytes,
            headers=part.headers,
            holds=tuple(part.sums),
            started_at=self._started_at,
        )


def _kept(index: int, custom_id: str, plan: Plan) -> Item:
    request, decision = plan.request, plan.decision
    return Item(
        index=index,
        custom_id=custom_id,
        kind=Kind.SENT,
        request_id=request.request_id,
        task=request.task,
        conversation_id=request.conversation_id,
        labels=request.labels,
        requested_model=request.model or "auto",
        model=decision.model.id,
        baseline_model=decision.baseline.id,
        tier=decision.tier.label if decision.tier else "",
        marked=plan.marked_by_us,
    )


def _held(part: _OpenPart, charges: tuple[str, ...], plan: Plan, hold: Hold) -> int:
    """Add an item to the hold of its budgets; return the hold's position."""
    number = part.holds.setdefault(charges, len(part.sums))
    if number == len(part.sums):
        kept = _kept(0, "", plan)
        part.sums.append(
            PartHold(
                q_nano_usd=0,
                w_nano_usd=0,
                labels=kept.labels,
                task=kept.task,
                requested_model=kept.requested_model,
                model=kept.model,
                baseline_model=kept.baseline_model,
                tier=kept.tier,
            )
        )
    held = part.sums[number]
    part.sums[number] = replace(
        held,
        q_nano_usd=held.q_nano_usd + hold.q_nano_usd,
        w_nano_usd=held.w_nano_usd + hold.most_nano_usd,
    )
    return number
