"""What an answer to a request would find out first, for those who only want to know: nothing is spent.

told = foretelling.ask(exchange, plan, tenant)      for one request or for many, in one trip
await exchange.send()
plan = await foretelling.foretold(told, tenant, at)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from costsvc.app.classifier import Classifier
from costsvc.app.conversations import Conversations
from costsvc.app.plan import Plan
from costsvc.app.prompt_caching import PromptCaching, PromptLook
from costsvc.core.conversation import Pin
from costsvc.store.exchange import Exchange, Pending


@dataclass(frozen=True, slots=True)
class Asked:
    """A plan, and what the store was asked about it."""

    plan: Plan
    pin: Pending[Pin | None] | None
    prompt: PromptLook | None


class Foretelling:
    """Foretells what calls would find."""

    def __init__(
        self, conversations: Conversations, classifier: Classifier, prompt_caching: PromptCaching
    ) -> None:
        self._conversations = conversations
        self._classifier = classifier
        self._prompt_caching = prompt_caching

    def ask(self, exchange: Exchange, plan: Plan, tenant: str) -> Asked:
        """Add what is to be asked about a plan."""
        return Asked(
            plan,
            self._conversations.ask(exchange, plan.request, tenant),
            self._prompt_caching.ask(exchange, plan, tenant),
        )

    async def foretold(self, asked: Asked, tenant: str, at: datetime) -> Plan:
        """Return the plan with what the store says: the model, and the breakpoints for it."""
        plan = self._conversations.continued(asked.plan, asked.pin)
        plan = await self._classifier.foretold(plan, tenant, at)
        if asked.prompt is None:
            return plan
        return self._prompt_caching.marked(replace(plan, prompt=asked.prompt.result()), tenant, at)

    async def look(self, plan: Plan, tenant: str, at: datetime) -> Plan:
        """Ask about one plan, and return it as `foretold` does."""
        exchange = Exchange()
        asked = self.ask(exchange, plan, tenant)
        await exchange.send()
        return await self.foretold(asked, tenant, at)
