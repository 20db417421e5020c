"""The policy in force, in the one place from which everybody takes it, and how a new one comes into force.

The file is read again every few seconds, which costs next to nothing and misses nothing: neither a file that
was written twice in a moment, nor the links that Kubernetes swaps. What cannot be used changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from costsvc.core.policy import Policy, policy_hash
from costsvc.core.toml_rows import CatalogError
from costsvc.metrics import Metrics

LOOK_EVERY_S = 2.0
SETTLE_S = 0.2
"""For how long a changed file must stay as it is: half a file may be a policy, too."""

log = structlog.get_logger()


class PolicyInForce:
    """The policy by which everything is decided; it is replaced as a whole, between two decisions."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy


class PolicyWatch:
    """Keeps the policy in force the one of a file. `keep_looking` runs beside it, in a task of its own."""

    def __init__(
        self,
        in_force: PolicyInForce,
        read: Callable[[], str],
        parse: Callable[[str], Policy],
        metrics: Metrics,
    ) -> None:
        self._in_force = in_force
        self._read = read
        self._parse = parse
        self._metrics = metrics
        self._asked = asyncio.Event()
        self._problem = ""
        metrics.policy_reload_failed(failed=False)

    def ask(self) -> None:
        """Look at once, and take what is there: the operator says that the file is complete."""
        self._asked.set()

    async def keep_looking(self) -> None:
        """Take up what the file says, for as long as the process lives."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), LOOK_EVERY_S)
            was_asked = self._asked.is_set()
            self._asked.clear()
            try:
                await self._look(was_asked=was_asked)
            except CatalogError as error:
                self._note_problem(str(error))
            except Exception:
                log.exception("policy_watch_failed")  # tried again: nothing here may end this task

    async def _look(self, *, was_asked: bool) -> None:
        text = await asyncio.to_thread(self._read)
        if not was_asked and self._is_new(text):
            await asyncio.sleep(SETTLE_S)
            if await asyncio.to_thread(self._read) != text:
                return
        if self._is_new(text):
            self._replace(await asyncio.to_thread(self._parse, text))
        self._note_problem("")

    def _is_new(self, text: str) -> bool:
        return policy_hash(text) != self._in_force.policy.hash

    def _replace(self, policy: Policy) -> None:
        before, self._in_force.policy = self._in_force.policy, policy
        log.info("policy_replaced", policy=policy.hash, before=before.hash)

    def _note_problem(self, problem: str) -> None:
        """Say once what is wrong, and by the metric for as long as it is."""
        if problem and problem != self._problem:
            log.error("policy_reload_failed", problem=problem, in_force=self._in_force.policy.hash)
        self._problem = problem
        self._metrics.policy_reload_failed(failed=bool(problem))
