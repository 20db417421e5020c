"""`costsvc router fit`: fits the local score to what callers said of answers, once, and ends."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from costsvc.cli.refusal import Refusal
from costsvc.cli.text import table
from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.catalog import Catalog
from costsvc.core.errors import StoreUnavailable
from costsvc.core.learning import Learning
from costsvc.core.local_score import Fit
from costsvc.core.request import Tier
from costsvc.core.scoring import read_prior
from costsvc.core.toml_rows import CatalogError
from costsvc.core.usage import Usage
from costsvc.data import read_text
from costsvc.settings import Settings, SettingsError, read_settings

if TYPE_CHECKING:
    from costsvc.fitting.ridge import Example
    from costsvc.store.outcomes import Outcome

_HEADERS = ("tenant", "task", "state", "outcomes", "why not")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    tenant: str
    task: str
    outcome_count: int
    fit: Fit | None

    @property
    def why_not(self) -> str:
        """Why the score does not serve, "" where it does."""
        return self.fit.why_not(self.fit.models) if self.fit else "no outcome of a model that the policy has"

    @property
    def state(self) -> str:
        """In a word."""
        return ("shadow" if self.why_not else "serving") if self.fit else "learning"


@click.command()
@click.option("--tenant", default="", help="Only this tenant's tasks.")
@click.option("--task", default="", help="Only this task.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="The service's; its store, without a URL.")
@click.option("--redis-url", metavar="URL", help="The store.")
@click.option("--policy", type=click.Path(path_type=Path), help="A policy file instead of the bundled one.")
@click.option(
    "--catalog",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A file on top of the bundled catalogue. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def fit(  # noqa: PLR0917 - one argument an option
    tenant: str,
    task: str,
    data_dir: Path | None,
    redis_url: str | None,
    policy: Path | None,
    catalog: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Fit the score of every learned task, once.

    It asks the store itself, with the service's settings, and may run while the service does, which
    takes what is new within half a minute. A score that is not shown to save money stays in shadow.
    """
    try:
        import costsvc.fitting.task  # noqa: F401, PLC0415 - only here is numpy needed
    except ModuleNotFoundError as error:
        raise Refusal(f"{error.name} is not installed: install costsvc[router]") from error
    options = {"data_dir": data_dir, "redis_url": redis_url, "policy": policy, "catalog": catalog}
    try:
        found = asyncio.run(_fit_all(read_settings(options), tenant, task))
    except (SettingsError, CatalogError) as error:
        raise Refusal(str(error)) from error
    except StoreUnavailable as error:
        raise Refusal(f"the store does not answer ({error}): start it, or correct --redis-url") from error
    click.echo(_as_json(found) if as_json else _describe(found))


async def _fit_all(settings: Settings, tenant: str, task: str) -> list[_Fitted]:
    from costsvc.store.connection import StoreRefused, open_store  # noqa: PLC0415 - slow to import
    from costsvc.store.fits import FitBook  # noqa: PLC0415
    from costsvc.store.outcomes import OutcomeBook  # noqa: PLC0415
    from costsvc.store.place import store_of  # noqa: PLC0415

    fitted: list[_Fitted] = []
    catalog = load_catalog_files(settings.catalog)
    policy = load_policy_file(settings.policy, catalog)
    try:
        async with store_of(settings.data_dir, settings.redis_url) as url:
            client = open_store(url)
            try:
                book, fits = OutcomeBook(client), FitBook(client)
                for owner, name in await book.tasks(tenant=tenant, task=task):
                    learning = policy.learning(owner, name)
                    if learning is None:
                        continue
                    outcomes = [outcome async for outcome in book.outcomes(owner, name)]
                    made = _fit_one(outcomes, catalog, policy.first_models, learning)
                    if made is not None:
                        await fits.put(owner, name, made)
                    fitted.append(_Fitted(tenant=owner, task=name, outcome_count=len(outcomes), fit=made))
            finally:
                await client.aclose()
    except StoreRefused as error:
        raise Refusal(str(error)) from error
    return fitted


def _fit_one(
    outcomes: list[Outcome], catalog: Catalog, models: tuple[str, ...], learning: Learning
) -> Fit | None:
    """Return what fits a task's outcomes, None where they say nothing of the models of now."""
    from costsvc.fitting.task import fit_task, mean_usage  # noqa: PLC0415 - only here is numpy needed

    examples = [example for outcome in outcomes if (example := _example(outcome, models)) is not None]
    if not examples:
        return None
    scale, prior = read_prior(read_text("score_prior.json"))
    seen = [outcome.seen for outcome in outcomes]
    return fit_task(
        scale,
        prior,
        examples,
        catalog,
        models=models,
        mean_usage=mean_usage(
            [Usage(input_tokens=each.input_tokens, output_tokens=each.output_tokens) for each in seen]
        ),
        quality_floor=float(learning.quality_floor),
        at=datetime.now(UTC),
    )


def _example(outcome: Outcome, models: tuple[str, ...]) -> Example | None:
    """Return what an outcome says of the models that answer for the tiers now, None where that is nothing."""
    from costsvc.fitting.ridge import Example  # noqa: PLC0415

    ratings = (outcome.ratings.get(tier) for tier in Tier)
    qualities = tuple(
        rating.score if rating is not None and rating.model == model else None
        for rating, model in zip(ratings, models, strict=True)
    )
    if not any(quality is not None for quality in qualities):
        return None
    return Example(features=outcome.seen.features, qualities=qualities)


def _describe(found: list[_Fitted]) -> str:
    if not found:
        return "no learned task has outcomes"
    rows = [
        (each.tenant, each.task, each.state, f"{each.outcome_count:,}", each.why_not or "-") for each in found
    ]
    return table(_HEADERS, rows, left=3)


def _as_json(found: list[_Fitted]) -> str:
    rows = [
        {
            "tenant": each.tenant,
            "task": each.task,
            "state": each.state,
            "outcome_count": each.outcome_count,
            "why_not": each.why_not,
        }
        for each in found
    ]
    return json.dumps(rows, indent=2)
