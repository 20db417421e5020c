"""Keeping the turns of a conversation with one model: what is known of it goes into each decision.

Calls without a conversation_id, or with a model that the caller names, ask the store nothing. While the store
is away, turns are decided one by one.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.core.conversation import Pin, after_turn
from costsvc.core.entry import Entry
from costsvc.core.errors import StoreUnavailable
from costsvc.core.request import ModelRequest
from costsvc.core.usage import Usage
from costsvc.store.conversations import ConversationBook
from costsvc.store.exchange import Exchange, Pending


class Conversations:
    """The place of each conversation, as far as decisions go by it."""

    def __init__(self, book: ConversationBook, planner: Planner) -> None:
        self._book = book
        self._planner = planner

    def ask(self, exchange: Exchange, request: ModelRequest, tenant: str) -> Pending[Pin | None] | None:
        """Ask where the request's conversation is; None where a decision does not go by that."""
        if not request.conversation_id or request.model or request.baseline_only:
            return None
        return self._book.ask(exchange, tenant, request.conversation_id)

    def continued(self, plan: Plan, asked: Pending[Pin | None] | None) -> Plan:
        """Return the plan for a turn of its conversation: the same one where nothing is known of that."""
        if asked is None:
            return plan
        with suppress(StoreUnavailable):
            pin = asked.result()
            return plan if pin is None else self._planner.continued(plan, pin)
        return plan

    async def answered(self, plan: Plan, tenant: str, usage: Usage, at: datetime) -> None:
        """Note where a turn that began at an instant was answered; a fallback is for one turn only."""
        request = plan.request
        if request.conversation_id and not plan.is_fallback:
            is_cached = usage.prompt_tokens != usage.input_tokens
            one_hour = is_cached and plan.asks_for_one_hour
            pin = after_turn(plan.pin, plan.decision.model, usage, at=at, one_hour=one_hour)
            await self._note(tenant, request.conversation_id, pin)

    async def recorded(self, entry: Entry) -> None:
        """Note a turn that the caller had answered itself."""
        if entry.conversation_id:
            before = await self._find(entry.tenant, entry.conversation_id)
            model = self._planner.catalog.models[entry.answering_model]
            pin = after_turn(before, model, entry.usage, at=entry.started_at, one_hour=False)
            await self._note(entry.tenant, entry.conversation_id, pin)

    async def _find(self, tenant: str, conversation_id: str) -> Pin | None:
        with suppress(StoreUnavailable):
            return await self._book.find(tenant, conversation_id)
        return None

    async def _note(self, tenant: str, conversation_id: str, pin: Pin) -> None:
        with suppress(StoreUnavailable):
            await self._book.note(tenant, conversation_id, pin)
