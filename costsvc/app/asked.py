"""What a call asks of the response cache: in which namespace, under which key; or why nothing is asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from costsvc.app.attempt import Attempt
from costsvc.app.plan import Plan
from costsvc.app.policies import PolicyInForce
from costsvc.core.cacheable import CacheOutcome, why_not_asked
from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.namespace import Namespace, Near, namespace_of
from costsvc.core.near_identical import near_key
from costsvc.core.request import CacheMode, ModelRequest
from costsvc.core.response_key import Question, fingerprint, last_text, near_form
from costsvc.store.epochs import Epochs, Numbers
from costsvc.store.near_answers import NearPlace
from costsvc.store.responses import Place

LARGE_BYTES = 256 * 1024
"""Larger requests are hashed in a thread, so that other callers do not wait."""

_PAIR_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NearAsked:
    """What near-identical questions have in common, and how this one says it."""

    place: NearPlace
    text: str
    rules: tuple[str, ...]
    secret: bytes = field(repr=False)

    def pair(self, other: str) -> str:
        """Return what stands for this question and another, in either order."""
        prints = (fingerprint(self.secret, {"question": text})[:_PAIR_DIGITS] for text in (self.text, other))
        return "-".join(sorted(prints))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question to the cache: where its answer is kept, and by what rules.

    `near` is None where only the exact repetition will do.
    """

    namespace: Namespace
    place: Place
    near: NearAsked | None
    numbers: Numbers


class Asking:
    """Turns calls into questions."""

    def __init__(self, policy_in_force: PolicyInForce, epochs: Epochs, secret: bytes) -> None:
        self._policy_in_force = policy_in_force
        self._epochs = epochs
        self._secret = secret

    def check(self, request: ModelRequest) -> None:
        """Raise InvalidRequest where a call names a namespace that the policy does not have."""
        if request.cache_namespace and request.cache_namespace not in self._policy_in_force.policy.namespaces:
            raise InvalidRequest(Violation("cache_namespace", "is none of the policy's namespaces"))

    async def ask(self, attempt: Attempt) -> Asked | CacheOutcome:
        """Return what is asked of the cache, or why nothing is.

        Raises:
            StoreUnavailable: nobody can say what of the cache is valid.
        """
        request = attempt.plan.request
        if request.cache_mode is CacheMode.BYPASS:
            return CacheOutcome.BYPASSED
        namespace = namespace_of(
            self._policy_in_force.policy.namespaces, named=request.cache_namespace, task=request.task
        )
        if namespace is None:
            return CacheOutcome.DISABLED
        prints = await self._prints(attempt.plan, namespace)
        if prints is None:
            return CacheOutcome.NOT_CACHEABLE
        numbers = await self._epochs.numbers()
        scope = numbers.scope(attempt.tenant, namespace.name)
        near = None
        if prints.near and numbers.serves_near(scope):
            near = NearAsked(
                place=NearPlace(scope, prints.near), text=prints.text, rules=prints.rules, secret=self._secret
            )
        return Asked(
            namespace=namespace,
            place=Place(scope, prints.exact),
            near=near,
            numbers=numbers,
        )

    async def _prints(self, plan: Plan, namespace: Namespace) -> _Prints | None:
        if plan.content.byte_count <= LARGE_BYTES:
            return _prints(plan, namespace, self._secret)
        return await asyncio.to_thread(_prints, plan, namespace, self._secret)


@dataclass(frozen=True, slots=True)
class _Prints:
    """Fingerprints of a question; `near` is "" where only the exact repetition will do."""

    exact: str
    near: str = ""
    text: str = ""
    rules: tuple[str, ...] = ()


def _prints(plan: Plan, namespace: Namespace, secret: bytes) -> _Prints | None:
    """Return the fingerprints of what a plan asks, None where its answer cannot be kept."""
    try:
        if why_not_asked(plan.request.body, namespace.allowed):
            return None
        form = _question(plan).form(ignore=namespace.ignore)
        exact = fingerprint(secret, form)
        text = last_text(plan.request.get("messages")) if namespace.near is not Near.OFF else ""
        key = near_key(text, off=namespace.rules_off) if text else None
        if key is None:
            return _Prints(exact)
        near = fingerprint(secret, near_form(form, key.text, off=namespace.rules_off))
        return _Prints(exact, near, text, key.applied)
    except RecursionError:  # what could just be read may be too deep to be walked or written
        return None


def _question(plan: Plan) -> Question:
    request = plan.request
    return Question(
        members=request.members,
        max_tokens=plan.needs.max_tokens,
        candidates=[each.model.id for each in plan.may_answer if not each.ruled_out],
        pin=plan.decision.model.id if request.model else "",
        checks=request.checks.form if request.checks else None,
        headers=plan.headers,
        dropped=plan.needs.sampling if plan.drops_sampling else (),
        levers=plan.levers.kept_as,
    )
