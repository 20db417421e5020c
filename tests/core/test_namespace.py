from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

import pytest

from costsvc.core.cacheable import Kind
from costsvc.core.namespace import LONGEST_TTL, MOST_BYTES, Namespace, Near, namespace_of, read_namespaces
from costsvc.core.toml_rows import CatalogError, Row, read_document

FULL = """
tasks = ["faq"]
ttl_s = 3600
allow = ["tools", "images", "documents", "thinking"]
ignore = ["metadata.user_id", "metadata"]
near_identical = "shadow"
rules_off = ["articles"]
most_mistakes = "0.005"
largest_bytes = 1000
"""


def read(text: str) -> dict[str, Namespace]:
    """Read the `[response_cache]` table of a policy."""
    row = read_document("policy.toml", text).row("response_cache", {})
    assert isinstance(row, Row)
    return read_namespaces(row)


def test_a_namespace_is_read_whole() -> None:
    """Every field arrives."""
    assert read("[response_cache.faq]" + FULL) == {
        "faq": Namespace(
            name="faq",
            tasks=frozenset({"faq"}),
            ttl=timedelta(hours=1),
            allowed=frozenset(Kind),
            ignore=("metadata.user_id", "metadata"),
            near=Near.SHADOW,
            rules_off=frozenset({"articles"}),
            most_mistakes=Fraction(1, 200),
            largest_bytes=1000,
        )
    }


def test_only_the_time_to_live_must_be_said() -> None:
    """Text only, exact only, nothing ignored, answers of ordinary size."""
    assert read("[response_cache.x]\nttl_s = 1") == {"x": Namespace(name="x", ttl=timedelta(seconds=1))}
    assert not Namespace(name="x", ttl=timedelta(1)).allowed
    assert Namespace(name="x", ttl=timedelta(1)).near is Near.OFF


def test_a_policy_without_the_table_has_none() -> None:
    """Nothing is kept unless the operator says so."""
    assert read("") == {}


LONGEST_S = LONGEST_TTL // timedelta(seconds=1)
BROKEN = {
    "no ttl": ("", "ttl_s", "is missing"),
    "no time": ("ttl_s = 0", "ttl_s", f"must be from 1 to {LONGEST_S}"),
    "for ever": (f"ttl_s = {LONGEST_S + 1}", "ttl_s", f"must be from 1 to {LONGEST_S}"),
    "unknown kind": (
        'ttl_s = 1\nallow = ["video"]',
        "allow",
        "'video' is none of documents, images, thinking, tools",
    ),
    "odd path": ('ttl_s = 1\nignore = ["a..b"]', "ignore", "'a..b' is no path such as metadata.user_id"),
    "ignored question": ('ttl_s = 1\nignore = ["messages"]', "ignore", "'messages' changes the answer"),
    "ignored schema": (
        'ttl_s = 1\nignore = ["tools.x"]',
        "ignore",
        "'tools.x' changes the answer",
    ),
    "unknown mode": (
        'ttl_s = 1\nnear_identical = "yes"',
        "near_identical",
        "'yes' is none of off, on, shadow",
    ),
    "unknown rule": ('ttl_s = 1\nrules_off = ["stemming"]', "rules_off", "'stemming' is none of"),
    "no mistakes": ('ttl_s = 1\nmost_mistakes = "0"', "most_mistakes", "must be between 0 and 1"),
    "all mistakes": ('ttl_s = 1\nmost_mistakes = "1"', "most_mistakes", "must be between 0 and 1"),
    "no bytes": ("ttl_s = 1\nlargest_bytes = 0", "largest_bytes", f"must be from 1 to {MOST_BYTES}"),
    "many bytes": (
        f"ttl_s = 1\nlargest_bytes = {MOST_BYTES + 1}",
        "largest_bytes",
        f"must be from 1 to {MOST_BYTES}",
    ),
    "unknown field": ("ttl_s = 1\nttl = 2", "ttl", "is not a known field"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_mistake_is_named_with_its_place(name: str) -> None:
    """File, table and field, and what would be right."""
    text, field, problem = BROKEN[name]
    with pytest.raises(CatalogError) as caught:
        read(f"[response_cache.faq]\n{text}")
    error = caught.value
    assert (error.file, error.table, error.field) == ("policy.toml", "response_cache.faq", field)
    assert problem in error.problem


def test_a_namespace_has_a_plain_name() -> None:
    """It is a part of keys, so it can hold no colon."""
    for name in ("a:b", "", "A", "1a", "x" * 64):
        with pytest.raises(CatalogError):
            read(f'[response_cache."{name}"]\nttl_s = 1')


def test_a_task_belongs_to_one_namespace() -> None:
    """Else nobody could tell which rules its calls follow."""
    with pytest.raises(CatalogError, match="'faq' is in a, too"):
        read(
            '[response_cache.a]\nttl_s = 1\ntasks = ["faq"]\n'
            '[response_cache.b]\nttl_s = 1\ntasks = ["x", "faq"]'
        )


def test_a_call_belongs_to_the_namespace_that_it_names_else_to_its_tasks() -> None:
    """A name that nobody knows keeps nothing, also where the task has a namespace."""
    known = read('[response_cache.a]\nttl_s = 1\ntasks = ["faq"]\n[response_cache.b]\nttl_s = 1')

    def name(named: str, task: str) -> str:
        found = namespace_of(known, named=named, task=task)
        return found.name if found else ""

    assert [name("", "faq"), name("b", "faq"), name("c", "faq"), name("", "x"), name("", "")] == [
        "a",
        "b",
        "",
        "",
        "",
    ]
