"""Every key in the store is built here, and nowhere else.

In a cluster a key lives where the part of it in braces hashes to, and a script reaches only keys of one such
place. Everything that is money carries the tag `{ledger}`: one slot, one primary, so that an entry, its
rollups and its budgets change in one atomic script. Call sites never spell a tag; should one primary become
too small, `LEDGER` becomes a function of the tenant here and nowhere else.

Stored answers are spread by what was asked, and may live on another server. They have a time to live, and so
has what belongs to them. Their secret has none: without it none of them is found.

Claims on request ids and the answers that are kept for repeats are no money, so they have a time to live.
They carry the tag all the same, because a claim stands or falls with its owner's lease.

What the local score learns from, and what it has learned, has a time to live: without it, calls are routed by
policy alone. A task's outcomes change together, so they carry its tag; the records of answers are spread.

Hours and days are UTC, written `yyyymmddhh` and `yyyymmdd`, so that they sort as text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

from costsvc.store import deferred_keys

LEDGER = "{ledger}"

SCHEMA = f"{LEDGER}:schema"
TENANTS = f"{LEDGER}:tenants"
"""A set: every tenant with an entry."""
HOURS = f"{LEDGER}:hours"
"""A set: every hour with entries that are not sealed."""
HOURS_SINCE = f"{LEDGER}:hours:since"
"""A day: of the days before it there are no rollups of hours, only of the days themselves."""
DAYS = f"{LEDGER}:days"
"""A set: every day with keys that `Ledger.forget_attempts` removes."""

SEALED = f"{LEDGER}:sealed"
"""A hash: hour -> how many of its entries are sealed."""
SEALING = f"{LEDGER}:sealing"
"""The lease of whoever seals hours, or wants nobody to: `<end, milliseconds since 1970> <owner>`."""
ATTEMPTS = f"{LEDGER}:attempts:"
"""What the hash of a day's attempts begins with."""

BUDGETS = f"{LEDGER}:budgets"
"""A hash: budget id -> its definition."""
BUDGETS_SINCE = f"{LEDGER}:budgets:since"
"""A hash: budget id -> since when it counts what it counts, when it was created, and what it counts."""
BUDGETS_VERSION = f"{LEDGER}:budgets:version"
"""A counter: every change of a definition raises it."""
BUDGETS_COUNTED = f"{LEDGER}:budgets:counted"
"""A set: every budget with balances, defined or not."""
BALANCE = f"{LEDGER}:balance:"
"""What the key of a balance begins with; `balance_member` says how it goes on."""
BALANCES = f"{LEDGER}:balances:"
"""What the index of a budget's balances begins with."""
ALERTS = f"{LEDGER}:alerts"
"""A sorted set: alerts that are not delivered yet, by when they are due in milliseconds since 1970."""
LEASES = f"{LEDGER}:leases"
"""A sorted set: every owner of holds, by the end of its lease in milliseconds since 1970."""
HOLDS = f"{LEDGER}:holds:"
"""What the set of an owner's holds begins with."""
AT_RISK = f"{LEDGER}:at_risk"
"""A hash: attempt id -> what is known of an attempt whose outcome is not; kept until it is."""
AT_RISK_INDEX = f"{LEDGER}:at_risk:index"
"""A sorted set in the order of its members, `<tenant>:<since, microseconds>:<attempt id>`."""
AT_RISK_SUMS = f"{LEDGER}:at_risk:sums"
"""A hash: `<tenant>:count`, `<tenant>:lower`, `<tenant>:upper`, in nano-USD."""

CACHE_SECRET = f"{LEDGER}:cache_secret"
"""A string: what the fingerprints of stored answers are made with, where no setting says it."""
CACHE_EPOCHS = "cache:epochs"
"""A hash: what of the stored answers was invalidated when."""

ROUTER_TASKS = "router:tasks"
"""A sorted set: every `<tenant>:<task>` with outcomes, by when one was last told, seconds since 1970."""


def hour_of(at: datetime) -> str:
    """Return the UTC hour of an instant, `yyyymmddhh`."""
    at = at.astimezone(UTC)
    return f"{at.year:04}{at.month:02}{at.day:02}{at.hour:02}"  # a third of the time of strftime


def day_of(at: datetime) -> str:
    """Return the UTC day of an instant, `yyyymmdd`."""
    return hour_of(at)[:8]


def entries(hour: str) -> str:
    """Return the list of an hour's entries, in the order of their settlement."""
    return f"{LEDGER}:entries:{hour}"


def rollups(tenant: str) -> str:
    """Return what the keys of a tenant's rollups begin with; `rollup` says how they go on."""
    return f"{LEDGER}:rollup:{tenant}:"


def rollup(tenant: str, period: str) -> str:
    """Return the hash of a tenant's cells in an hour or a day: `<dimension>=<value>` -> packed measures.

    It has the dimensions with few values, so that reports by them need not read all values of labels.
    """
    return f"{rollups(tenant)}{period}"


def rollup_values(tenant: str, period: str) -> str:
    """Return the hash of the cells of tasks and labels, of which a day may have thousands."""
    return f"{rollup(tenant, period)}:values"


def checkpoint(tenant: str, day: str) -> str:
    """Return the hash of the cells that a tenant's sealed entries of a day add up to."""
    return f"{LEDGER}:checkpoint:{tenant}:{day}"


def attempts(day: str) -> str:
    """Return the hash of the attempts that started on a day: attempt id -> where its entry is."""
    return f"{ATTEMPTS}{day}"


def requests(day: str) -> str:
    """Return the hash of what was recorded on a day, once per request id: `request_field` -> its entry."""
    return f"{LEDGER}:requests:{day}"


def request_field(tenant: str, request_id: str) -> str:
    """Return a request's field; a tenant's name has no colon, so that no two tenants can collide."""
    return f"{tenant}:{request_id}"


def balances(budget_id: str) -> str:
    """Return the index of a budget's balances, a sorted set: `balance_member` by when it can go, s."""
    return f"{BALANCES}{budget_id}"


def balance(budget_id: str, member: str) -> str:
    """Return the hash of what a budget's instance counts in a window."""
    return f"{BALANCE}{budget_id}:{member}"


def balance_member(window_key: str, instance: str) -> str:
    """Return what tells a budget's balances apart; an instance may be any text, so it is quoted."""
    return f"{window_key}:{quote(instance, safe='')}"


def holds(owner: str) -> str:
    """Return the set of an owner's holds, `<start day>:<attempt id>`."""
    return f"{HOLDS}{owner}"


def claim(tenant: str, request_id: str) -> str:
    """Return the hash of what is known of a request id: who runs it, or what became of it."""
    return f"{LEDGER}:claim:{request_field(tenant, request_id)}"


def kept_answer(tenant: str, request_id: str) -> str:
    """Return the text with which a repeat of a request id is answered."""
    return f"{LEDGER}:answer:{request_field(tenant, request_id)}"


def values(day: str) -> str:
    """Return the hash that counts a day's distinct values of labels and tasks, `<tenant>:<dimension>`."""
    return f"{LEDGER}:values:{day}"


def of_day(day: str) -> tuple[str, ...]:
    """Return every key that only serves to remember a day, and goes when the day is forgotten."""
    return attempts(day), requests(day), values(day)


def conversation(tenant: str, conversation_id: str) -> str:
    """Return the text that says where a conversation is; it lives only as long as it may matter."""
    return f"conversation:{request_field(tenant, conversation_id)}"


def stored_answer(prefix: str, fingerprint: str) -> str:
    """Return the text of a stored answer; `prefix` is its scope's."""
    return f"cache:{{{prefix}{fingerprint}}}:answer"


def near_answer(prefix: str, fingerprint: str) -> str:
    """Return the text of the stored answer to near-identical questions."""
    return f"cache:{{{prefix}{fingerprint}}}:near"


def blocked_pairs(tenant: str, namespace: str, fingerprint: str) -> str:
    """Return the set of pairs of questions that are not the same after all, whatever the epoch."""
    return f"cache:{{{tenant}:{namespace}:{fingerprint}}}:blocked"


def near_audit(prefix: str) -> str:
    """Return the hash that counts near-identical answers of a scope: served, mistakes, agreed, differed."""
    return f"cache:{{{prefix}}}:audit"


def contents(tenant: str) -> dict[str, tuple[str, ...]]:
    """Return every kind of content that is kept for a tenant, with the patterns of its keys.

    Whoever keeps a new kind adds it here, so that erasing a tenant's data finds it. A tenant's name has no
    character that means something in a pattern. The records of answered prompts are not here, because their
    keys do not say whose they are: `seen` is found by what is in it.
    """
    mine = f"{tenant}:"
    return {
        "stored_answers": (stored_answer(mine, "*"),),
        "near_answers": (near_answer(mine, "*"),),
        "cache_records": (blocked_pairs(tenant, "*", "*"), near_audit(f"{mine}*")),
        "repeated_answers": (kept_answer(tenant, "*"),),
        "conversations": (conversation(tenant, "*"),),
        "prefix_statistics": (f"prefix:{{{tenant}}}:*",),
        "router_records": (f"router:{{{mine}*",),
        "classifier_verdicts": (verdict(tenant, "*"),),
        "deferred_requests": (deferred_keys.request(f"{mine}*"),),
        "deferred_answers": (deferred_keys.answer(f"{mine}*"),),
        "shadow_pairs": (pairs(tenant),),
    }


def answer_lead(prefix: str, fingerprint: str) -> str:
    """Return the token of the caller that asks the provider for an answer, while it does."""
    return f"cache:{{{prefix}{fingerprint}}}:lead"


def verdict(tenant: str, fingerprint: str) -> str:
    """Return the text that says how hard a request of a tenant is."""
    return f"cache:{{{tenant}:{fingerprint}}}:verdict"


def pairs(tenant: str) -> str:
    """Return the sorted set of a tenant's pairs of answers by when they were made, microseconds."""
    return f"shadow:{{{tenant}}}:pairs"


def shadow_spent(day: str) -> str:
    """Return the counter of what comparing answers has cost on a day, nano-USD: a limit, and no ledger."""
    return f"shadow:spent:{day}"


def prefix(tenant: str, place: int) -> str:
    """Return the text of what is known of the prefix of prompts that has one of a tenant's places."""
    return f"prefix:{{{tenant}}}:{place}"


def prompt_traits(tenant: str, place: int) -> str:
    """Return the text of the last prompt that has one of a tenant's places."""
    return f"prefix:{{{tenant}}}:last:{place}"


def prompt_sums(tenant: str, day: str) -> str:
    """Return the hash of what the prompt cache did for a tenant on a day."""
    return f"prefix:{{{tenant}}}:sums:{day}"


def seen(response_id: str) -> str:
    """Return the record of an answered prompt, for those who can say later how good the answer was."""
    return f"router:seen:{response_id}"


def outcomes(tenant: str, task: str) -> str:
    """Return the hash of a task's outcomes: response id -> what is known."""
    return f"router:{{{tenant}:{task}}}:outcomes"


def outcomes_order(tenant: str, task: str) -> str:
    """Return the sorted set of a task's outcomes by when they were last told of."""
    return f"router:{{{tenant}:{task}}}:order"


def outcomes_complete(tenant: str, task: str) -> str:
    """Return the set of a task's outcomes of which every tier is known."""
    return f"router:{{{tenant}:{task}}}:complete"


def fit(tenant: str, task: str) -> str:
    """Return the text of what was fitted to a task's outcomes."""
    return f"router:{{{tenant}:{task}}}:fit"
