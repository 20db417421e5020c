"""`costsvc check-config`: the operator's files, checked and printed as they take effect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from costsvc.cli.refusal import Refusal
from costsvc.cli.text import table
from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.catalog import Catalog, CatalogError
from costsvc.core.policy import Policy

_COLUMNS = {
    "model": "model",
    "status": "status",
    "from": "from",
    "prompt_tokens_over": "prompt over",
    "input": "input",
    "cache_write_5m": "write 5m",
    "cache_write_1h": "write 1h",
    "cache_read": "read",
    "output": "output",
    "checked_on": "checked",
}


@click.command()
@click.option("--policy", type=click.Path(path_type=Path), help="A policy file instead of the bundled one.")
@click.option(
    "--catalog",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A file on top of the bundled catalogue. Repeatable.",
)
def check_config(*, policy: Path | None, catalog: tuple[Path, ...]) -> None:
    """Check the catalogue and the policy, and print what is in force with them."""
    try:
        known = load_catalog_files(catalog)
        chosen = load_policy_file(policy, known)
    except CatalogError as error:
        raise Refusal(str(error)) from error
    click.echo(f"{_describe_catalog(known)}\n\n{_describe_policy(chosen)}")


def _describe_catalog(catalog: Catalog) -> str:
    rows = [[row[column] for column in _COLUMNS] for row in catalog.table()]
    prices = table(tuple(_COLUMNS.values()), rows, left=3)
    return f"catalogue {catalog.hash}, standard prices in USD per million tokens\n\n{prices}"


def _describe_policy(policy: Policy) -> str:
    tiers = table(
        ("tier", "models"), [(t.label, ", ".join(names)) for t, names in policy.tiers.items()], left=2
    )
    tasks = table(
        ("task", "tier", "max tokens"),
        [(name, task.tier.label, str(policy.max_tokens(name))) for name, task in policy.tasks.items()],
        left=2,
    )
    rules = table(
        ("rule", "when", "then"),
        [(rule.name, rule.conditions, rule.outcome) for rule in policy.rules] or [("none", "", "")],
        left=3,
    )
    lengths = [(task, length.words) for task, length in policy.lengths.items()]
    levers = ("", table(("task", "shortened by"), lengths, left=2)) if lengths else ()
    labels = ", ".join(sorted(policy.report_labels)) or "none"
    return "\n".join(
        (
            f"policy {policy.hash}",
            "",
            f"baseline       {policy.baseline_model}",
            f"otherwise      {policy.default_tier.label}, {policy.default_max_tokens} tokens",
            f"sampling       {policy.sampling.value}",
            f"breakpoints    {policy.markers.value}",
            f"retention      {'zero' if policy.zero_retention else 'as the models have it'}",
            f"report labels  {labels}",
            *_describe_options(policy),
            "",
            tiers,
            "",
            tasks,
            "",
            rules,
            "",
            _describe_namespaces(policy),
            *levers,
        )
    )


def _describe_options(policy: Policy) -> Iterator[str]:
    """Yield what may also happen to a call, a line each; what is switched off is said to be."""
    asked = policy.classifying
    shares = (f"{share:.2%} of {task}" for task, share in policy.shadowing.shares.items())
    yield f"classifier     {(asked.model or 'the cheapest of the simple tier') if asked.enabled else 'off'}"
    yield f"learned tasks  {', '.join(policy.learned) or 'none'}"
    yield f"compared       {', '.join(shares) or 'nothing'}"
    yield f"deferred only  {', '.join(sorted(policy.defer.tasks)) or 'nothing'}"


def _describe_namespaces(policy: Policy) -> str:
    rows = [
        (name, f"{space.ttl.total_seconds():.0f} s", space.near.value, ", ".join(sorted(space.tasks)))
        for name, space in policy.namespaces.items()
    ]
    return table(
        ("answers kept", "for", "near-identical", "of tasks"), rows or [("none", "", "", "")], left=4
    )
