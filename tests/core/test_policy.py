from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.cascade import Cascading
from costsvc.core.catalog import CatalogError
from costsvc.core.classifying import Classifying
from costsvc.core.deferring import Deferring
from costsvc.core.learning import Learning
from costsvc.core.length import Length
from costsvc.core.namespace import Namespace
from costsvc.core.policy import Markers, OnStoreFailure, Policy, Sampling, Task, read_policy
from costsvc.core.request import Tier
from costsvc.core.retry import OnUnknown, Retries
from costsvc.core.shadowing import Shadowing

CATALOG = load_catalog_files()
SHIPPED = load_policy_file(None, CATALOG)
GOOD = """
version = 1
baseline_model = "claude-opus-4-5"
default_tier = "medium"
default_max_tokens = 900
sampling = "drop"
on_store_failure = "allow"
report_labels = ["team"]
[tiers]
simple = ["claude-haiku-5-5", "claude-haiku-4-5", "claude-haiku-5-5"]
medium = ["claude-sonnet-5-5"]
complex = ["claude-opus-5-5"]
[prompt_cache]
markers = "never"
first_write_wait_ms = 700
[tasks]
faq = { tier = "simple", max_tokens = 50 }
proof = { tier = "complex" }
[retries]
max_attempts = 2
on_unknown = "fail"
[cancellation]
drain_max_usd = "0.25"
[fallbacks]
claude-haiku-4-5 = ["claude-haiku-5-5"]
[response_cache.help]
ttl_s = 60
[cascade]
buffer_streams = true
except_tasks = ["law"]
[classifier]
enabled = true
model = "claude-haiku-4-5"
timeout_s = "0.5"
ttl_s = 60
[length.faq]
effort = "low"
probe_share = "0"
[shadow]
price = "standard"
shares = { faq = "0.5" }
[router.faq]
quality_floor = "0.95"
tenants = ["acme"]
[defer]
tasks = ["nightly"]
keep_answers_s = 600
"""


def test_a_policy_is_read_whole() -> None:
    """Every field arrives; aliases become ids, repetitions go."""
    policy = read_policy(GOOD, CATALOG)
    assert policy == Policy(
        baseline_model="claude-opus-4-5-20251101",
        default_tier=Tier.MEDIUM,
        default_max_tokens=900,
        sampling=Sampling.DROP,
        on_store_failure=OnStoreFailure.ALLOW,
        zero_retention=False,
        report_labels=frozenset({"team"}),
        tiers={
            Tier.SIMPLE: ("claude-haiku-5-5", "claude-haiku-4-5-20251001"),
            Tier.MEDIUM: ("claude-sonnet-5-5",),
            Tier.COMPLEX: ("claude-opus-5-5",),
        },
        markers=Markers.NEVER,
        first_write_wait_ms=700,
        tasks={"faq": Task(tier=Tier.SIMPLE, max_tokens=50), "proof": Task(tier=Tier.COMPLEX)},
        rules=(),
        retries=Retries(max_attempts=2, on_unknown=OnUnknown.FAIL),
        drain_max_nano_usd=250_000_000,
        fallbacks={"claude-haiku-4-5-20251001": ("claude-haiku-5-5",)},
        namespaces={"help": Namespace(name="help", ttl=timedelta(seconds=60))},
        cascade=Cascading(buffer_streams=True, except_tasks=frozenset({"law"})),
        classifying=Classifying(
            enabled=True, model="claude-haiku-4-5-20251001", timeout_s=0.5, ttl=timedelta(seconds=60)
        ),
        lengths={"faq": Length(effort="low", probe_share=Fraction(0))},
        shadowing=Shadowing(shares={"faq": 0.5}),
        learned={"faq": Learning(quality_floor=Fraction(95, 100), tenants=frozenset({"acme"}))},
        defer=Deferring(tasks=frozenset({"nightly"}), keep_answers=timedelta(seconds=600)),
        hash=policy.hash,
    )


def test_what_may_be_left_out_has_its_default() -> None:
    """Sampling is refused, what pays is marked, no label is added up, no task is known."""
    kept = [line for line in GOOD.splitlines() if not line.startswith(("sampling", "report_labels"))]
    policy = read_policy("\n".join(kept[: kept.index("[prompt_cache]")]), CATALOG)
    assert (policy.sampling, policy.markers) == (Sampling.REJECT, Markers.PLANNED)
    assert (policy.report_labels, policy.tasks) == (frozenset(), {})
    assert policy.drain_max_nano_usd == 50_000_000


@pytest.mark.parametrize("amount", ['"0.0000000001"', '"-1"', '"1000.01"', '"a lot"', "0.05", '""'])
def test_a_limit_of_draining_is_whole_nano_dollars(amount: str) -> None:
    """As a string, not negative, and not so much that it must be a mistake."""
    with pytest.raises(CatalogError, match=r"cancellation: drain_max_usd"):
        read_policy(GOOD.replace('"0.25"', amount), CATALOG)


def test_the_longest_answer_goes_by_task() -> None:
    """The task's limit, else the policy's; also for a task that nobody listed."""
    policy = read_policy(GOOD, CATALOG)
    assert [policy.max_tokens(task) for task in ("faq", "proof", "unheard", "")] == [50, 900, 900, 900]


def test_only_what_is_listed_is_learned() -> None:
    """A task, of the tenants that are named, or of all where none is."""
    policy = read_policy(GOOD, CATALOG)
    assert policy.learning("acme", "faq") == Learning(
        quality_floor=Fraction(95, 100), tenants=frozenset({"acme"})
    )
    assert policy.learning("other", "faq") is None
    assert policy.learning("acme", "proof") is None
    everybody = read_policy(GOOD.replace('tenants = ["acme"]', ""), CATALOG)
    assert everybody.learning("other", "faq") == Learning(quality_floor=Fraction(95, 100))
    assert SHIPPED.learned == {}


def test_the_models_of_a_policy_are_listed_once() -> None:
    """In the order of tiers, the baseline last."""
    assert read_policy(GOOD, CATALOG).models == (
        "claude-haiku-5-5",
        "claude-haiku-4-5-20251001",
        "claude-sonnet-5-5",
        "claude-opus-5-5",
        "claude-opus-4-5-20251101",
    )


def test_the_hash_goes_by_the_text() -> None:
    """Whoever reads a log can tell which file was in force."""
    assert read_policy(GOOD, CATALOG).hash == read_policy(GOOD, CATALOG, name="other").hash
    assert read_policy(GOOD, CATALOG).hash != read_policy(GOOD + "\n", CATALOG).hash


BROKEN = {
    "odd learned task": ("[router.faq]", "[router.Faq]", "router", "Faq", "must be 1 to 63"),
    "answers kept for ever": ("= 600", "= 9_999_999", "defer", "keep_answers_s", "from 1 to 2505600"),
    "odd webhook": ("= 600", '= 600\nwebhook_urls = ["ftp://x"]', "defer", "webhook_urls", "must be a URL"),
    "floor of nothing": ('"0.95"', '"0"', "router.faq", "quality_floor", "must be above 0"),
    "floor above all": ('"0.95"', '"1.01"', "router.faq", "quality_floor", "at most 1"),
    "learned tenant": ('["acme"]', '["ACME"]', "router.faq", "tenants", "'ACME' is no tenant"),
    "unknown field of learning": ("quality_floor", "quality", "router.faq", "quality", "not a known field"),
    "not toml": ("version = 1", "version", "", "", "is not TOML"),
    "no version": ("version = 1", "", "", "version", "is missing"),
    "other version": ("version = 1", "version = 2", "", "version", "must be 1"),
    "version as text": ("version = 1", 'version = "1"', "", "version", "must be a whole number"),
    "unknown field": ("version = 1", "version = 1\ncolour = 3", "", "colour", "is not a known field"),
    "unknown table": ("[tiers]", "[extra]\n[tiers]", "", "extra", "is not a known field"),
    "no baseline": ('baseline_model = "claude-opus-4-5"', "", "", "baseline_model", "is missing"),
    "unknown baseline": (
        "opus-4-5",
        "opus-9",
        "",
        "baseline_model",
        "'claude-opus-9' is not in the catalogue",
    ),
    "no default tier": ('default_tier = "medium"', "", "", "default_tier", "is missing"),
    "odd default tier": (
        '"medium"',
        '"hard"',
        "",
        "default_tier",
        "'hard' is none of complex, medium, simple",
    ),
    "tier in capitals": ('"medium"', '"MEDIUM"', "", "default_tier", "'MEDIUM' is none of"),
    "no default length": ("default_max_tokens = 900", "", "", "default_max_tokens", "is missing"),
    "zero default length": ("900", "0", "", "default_max_tokens", "must be from 1 to 128000"),
    "long default length": ("900", "128001", "", "default_max_tokens", "must be from 1 to 128000"),
    "negative default length": ("900", "-9", "", "default_max_tokens", "must not be negative"),
    "odd sampling": ('"drop"', '"keep"', "", "sampling", "'keep' is none of drop, old_version, reject"),
    "labels as text": ('["team"]', '"team"', "", "report_labels", "must be an array of strings"),
    "labels as numbers": ('["team"]', "[1]", "", "report_labels", "must be an array of strings"),
    "no tiers": ("[tiers]", "[prompt_cash]", "", "tiers", "is missing"),
    "a tier is missing": ('medium = ["claude-sonnet-5-5"]', "", "tiers", "medium", "is missing"),
    "a tier is empty": ('["claude-sonnet-5-5"]', "[]", "tiers", "medium", "must name at least one model"),
    "a tier as text": ('["claude-sonnet-5-5"]', '"claude-sonnet-5-5"', "tiers", "medium", "must be an array"),
    "unknown model": (
        "sonnet-5-5",
        "sonnet-9",
        "tiers",
        "medium",
        "'claude-sonnet-9' is not in the catalogue",
    ),
    "unknown tier": ("[tiers]", "[tiers]\nhard = []", "tiers", "hard", "is not a known field"),
    "too long a wait": ("700", "60_001", "prompt_cache", "first_write_wait_ms", "must be from 0 to 60000"),
    "odd markers": ('"never"', '"often"', "prompt_cache", "markers", "'often' is none of"),
    "unknown cache field": (
        "markers",
        "mark_tools",
        "prompt_cache",
        "mark_tools",
        "is not a known field",
    ),
    "tasks as array": ("[tasks]", "[[tasks]]", "", "tasks", "must be a table"),
    "task as text": ('{ tier = "complex" }', '"complex"', "tasks", "proof", "must be a table"),
    "task without tier": ('{ tier = "complex" }', "{}", "tasks.proof", "tier", "is missing"),
    "odd tier of a task": ('"complex" }', '"deep" }', "tasks.proof", "tier", "'deep' is none of"),
    "zero length of a task": ("50", "0", "tasks.faq", "max_tokens", "must be from 1 to 128000"),
    "long task": ("50", "200_000", "tasks.faq", "max_tokens", "must be from 1 to 128000"),
    "unknown field of a task": (
        '"complex" }',
        '"complex", effort = 1 }',
        "tasks.proof",
        "effort",
        "not a known",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_every_mistake_names_its_place(case: str) -> None:
    """A policy that cannot be used says in which file, table and field, and why."""
    old, new, table, field, problem = BROKEN[case]
    assert old in GOOD
    with pytest.raises(CatalogError, match=problem) as caught:
        read_policy(GOOD.replace(old, new, 1), CATALOG, name="mine.toml")
    error = caught.value
    assert (error.file, error.table, error.field) == ("mine.toml", table, field)
    place = f"mine.toml:{error.line}" if error.line else "mine.toml"
    assert str(error) == ": ".join(part for part in (place, table, field, error.problem) if part)
    is_nowhere = not table and problem in {"is missing", "is not TOML"}
    assert (error.line == 0) == is_nowhere


@pytest.mark.parametrize(
    ("task", "tier"),
    [
        ("faq", Tier.SIMPLE),
        ("greeting", Tier.SIMPLE),
        ("classification", Tier.SIMPLE),
        ("extraction", Tier.SIMPLE),
        ("summary", Tier.MEDIUM),
        ("code_generation", Tier.MEDIUM),
        ("analysis", Tier.COMPLEX),
        ("reasoning", Tier.COMPLEX),
    ],
)
def test_the_shipped_policy_knows_the_usual_tasks(task: str, tier: Tier) -> None:
    """Small questions go to a small model, hard ones to a large one."""
    assert SHIPPED.tasks[task].tier is tier


def test_the_shipped_policy_is_careful() -> None:
    """Unknown work goes to the middle, the baseline is the best model, all still answer."""
    assert SHIPPED.default_tier is Tier.MEDIUM
    assert SHIPPED.baseline_model == SHIPPED.tiers[Tier.COMPLEX][0]
    assert SHIPPED.sampling is Sampling.REJECT
    assert SHIPPED.markers is Markers.PLANNED
    for name in SHIPPED.models:
        assert CATALOG.models[name].status in {"active", "legacy"}
        assert not CATALOG.models[name].limited_availability


@pytest.mark.parametrize("tier", Tier)
def test_the_shipped_policy_answers_the_usual_features_in_every_tier(tier: Tier) -> None:
    """In each tier some model takes a forced tool, thinking off, structure and geography."""
    can = [CATALOG.models[name].capabilities for name in SHIPPED.tiers[tier]]
    assert any(one.forced_tool_choice for one in can)
    assert any("disabled" in one.thinking for one in can)
    assert any("adaptive" in one.thinking for one in can)
    assert any(one.structured_output and one.inference_geo for one in can)


def test_a_policy_file_is_read_from_its_path(tmp_path: Path) -> None:
    """The path is the file's name in every mistake."""
    path = tmp_path / "policy.toml"
    path.write_text(GOOD)
    assert load_policy_file(path, CATALOG) == read_policy(GOOD, CATALOG)
    path.write_bytes(b"\xff")
    with pytest.raises(CatalogError, match="is not UTF-8: invalid start byte at byte 0") as caught:
        load_policy_file(path, CATALOG)
    assert caught.value.file == str(path)
    with pytest.raises(CatalogError, match="cannot be read: No such file or directory"):
        load_policy_file(tmp_path / "absent.toml", CATALOG)
