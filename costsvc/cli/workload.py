"""`costsvc estimate --calls`: what many calls of one size would cost, by the price list alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from costsvc.cli.refusal import Refusal
from costsvc.cli.spec import PERMILLE
from costsvc.cli.text import percent, table
from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.catalog import Catalog, CatalogError, Model
from costsvc.core.errors import UnknownModel
from costsvc.core.money import format_usd
from costsvc.core.policy import Policy
from costsvc.core.request import Tier
from costsvc.core.workload import PERMILLE as WHOLE
from costsvc.core.workload import Forecast, Part, Share, Step, Workload, forecast, why_not

F = TypeVar("F", bound=Callable[..., Any])

_TIERS = {tier.label: tier for tier in Tier}
_COUNT, _TOKENS = click.IntRange(1, 10**12), click.IntRange(0, 10**7)
_PARTS = ("model", "tier", "calls", "a call", "cost")
_STEPS = ("", "cost", "saved", "")
_FILE = click.Path(path_type=Path)

_OPTIONS = (
    click.option("--calls", metavar="N", type=_COUNT, help="How many calls."),
    click.option("--input-tokens", metavar="N", type=_TOKENS, help="Tokens of each prompt."),
    click.option("--output-tokens", metavar="N", type=_TOKENS, help="Tokens of each answer."),
    click.option(
        "--mix",
        metavar="NAME=PERCENT,...",
        help="Who answers how many, by tier or model, such as simple=70,medium=20,complex=10.",
    ),
    click.option("--baseline", metavar="MODEL", help="Compare --mix with all calls on this model."),
    click.option(
        "--cached-tokens", metavar="N", type=_TOKENS, help="Tokens of each prompt that are the same."
    ),
    click.option(
        "--cache-uses", metavar="N", type=_COUNT, help="How many calls share one write of those; else all."
    ),
    click.option("--batch", is_flag=True, help="As message batches, at half price."),
    click.option("--hit-share", type=PERMILLE, help="Answered by the response cache, such as 30%."),
    click.option(
        "--at", metavar="YYYY-MM-DD", type=click.DateTime(["%Y-%m-%d"]), help="At a day's prices; else now's."
    ),
    click.option("--policy", type=_FILE, help="A policy file instead of the bundled one."),
    click.option(
        "--catalog", type=_FILE, multiple=True, help="A file on top of the bundled catalogue. Repeatable."
    ),
)
_NAMES = (
    *("calls", "input_tokens", "output_tokens", "mix", "baseline", "batch", "cached_tokens", "cache_uses"),
    *("hit_share", "at", "policy", "catalog"),
)


class WorkloadCommand(click.Command):
    """A command whose help shows the options of `workload_options` apart."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both groups."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        shown = [(each.name, record) for each in options if (record := each.get_help_record(ctx))]
        with formatter.section("Options"):
            formatter.write_dl([record for name, record in shown if name not in _NAMES])
        with formatter.section("Many calls of one size, calculated without a service"):
            formatter.write_dl([record for name, record in shown if name in _NAMES])


def workload_options(command: F) -> F:
    """Add what describes many calls; `take_workload` takes it."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_workload(parts: dict[str, Any]) -> dict[str, Any] | None:
    """Return the options of `workload_options`, taken out of all; None where none is given.

    Raises:
        UsageError: some of them without the others, or together with a request.
    """
    ours = {name: parts.pop(name) for name in _NAMES}
    if not any(ours.values()):
        return None
    needed = ("calls", "input_tokens", "output_tokens")
    missing = [f"--{name.replace('_', '-')}" for name in needed if ours[name] is None]
    if missing:
        raise click.UsageError(f"to calculate by token counts, give {', '.join(missing)}")
    stray = [name for name, value in parts.items() if value and name != "model"]
    if stray:
        raise click.UsageError(f"--calls goes by token counts, without {stray[0].upper().replace('_', '-')}")
    if bool(ours["mix"]) == bool(parts["model"]):
        raise click.UsageError("with --calls, give either --mix or --model")
    if ours["baseline"] and not ours["mix"]:
        raise click.UsageError("--baseline goes with --mix: one model is compared with itself")
    return ours


def calculate(said: Mapping[str, Any], model: str) -> Forecast:
    """Return what the options describe, on one model or on a mix of them."""
    work = _workload(said)
    try:
        catalog = load_catalog_files(said["catalog"])
        policy = load_policy_file(said["policy"], catalog)
        shares = _shares(said["mix"], catalog, policy) if said["mix"] else _only(catalog.resolve(model))
        baseline = catalog.resolve(said["baseline"] or policy.baseline_model if said["mix"] else model)
    except CatalogError as error:
        raise Refusal(str(error)) from error
    except UnknownModel as error:
        raise Refusal(f"{error.model} is neither a tier nor a model of the catalogue") from error
    for each in (*(share.model for share in shares), baseline):
        if problem := why_not(work, each):
            raise Refusal(f"{each.id} {problem}: name another model, or another day with --at")
    return forecast(catalog, work, shares, baseline)


def described(result: Forecast) -> str:
    """Return a forecast for people: by model, then step by step."""
    whole = result.baseline_nano_usd
    steps = [
        (f"all on {result.baseline.id}", format_usd(whole), "", ""),
        *(_step(s, whole) for s in result.steps),
    ]
    if len(result.steps) > 1:
        steps.append(("in all", *_saved(result.cost_nano_usd, whole - result.cost_nano_usd, whole)))
    return f"{table(_PARTS, map(_part, result.parts), left=2)}\n\n{table(_STEPS, steps)}"


def as_json(result: Forecast) -> str:
    """Return a forecast for programs; money in nano-USD."""
    return json.dumps(
        {
            "baseline_model": result.baseline.id,
            "baseline_nano_usd": result.baseline_nano_usd,
            "cost_nano_usd": result.cost_nano_usd,
            "steps": [
                {
                    "technique": s.technique,
                    "cost_nano_usd": s.cost_nano_usd,
                    "saved_nano_usd": s.saved_nano_usd,
                }
                for s in result.steps
            ],
            "parts": [
                {
                    "model": part.share.model.id,
                    "tier": _tier(part.share),
                    "call_count": part.call_count,
                    "cost_nano_usd": part.cost_nano_usd,
                }
                for part in result.parts
            ],
        },
        indent=2,
    )


def _workload(said: Mapping[str, Any]) -> Workload:
    at = said["at"]
    cached_tokens, hit_permille = said["cached_tokens"] or 0, said["hit_share"] or 0
    if cached_tokens > said["input_tokens"]:
        raise click.UsageError("--cached-tokens are a part of --input-tokens")
    if hit_permille > WHOLE:
        raise click.UsageError("--hit-share is at most 100%")
    return Workload(
        call_count=said["calls"],
        input_tokens=said["input_tokens"],
        output_tokens=said["output_tokens"],
        cached_tokens=cached_tokens,
        cache_uses=said["cache_uses"] or 0,
        batch=said["batch"],
        hit_permille=hit_permille,
        at=datetime.now(UTC) if at is None else at.replace(tzinfo=UTC),
    )


def _only(model: Model) -> list[Share]:
    return [Share(model=model, tier=None, permille=WHOLE)]


def _shares(mix: str, catalog: Catalog, policy: Policy) -> list[Share]:
    shares = [_share(text, catalog, policy) for text in mix.split(",")]
    if sum(share.permille for share in shares) != WHOLE:
        raise click.BadParameter("its shares do not add up to 100", param_hint="--mix")
    return shares


def _share(text: str, catalog: Catalog, policy: Policy) -> Share:
    """Return what `simple=70` says; the first model of a tier stands for it."""
    name, equals, share = text.strip().partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not NAME=PERCENT", param_hint="--mix")
    tier = _TIERS.get(name)
    model = catalog.resolve(policy.tiers[tier][0] if tier else name)
    return Share(model=model, tier=tier, permille=PERMILLE.convert(share, None, None))


def _tier(share: Share) -> str:
    return share.tier.label if share.tier else ""


def _part(part: Part) -> tuple[str, ...]:
    each = -(-part.cost_nano_usd // (part.call_count or 1))
    share = part.share
    return (
        share.model.id,
        _tier(share),
        f"{part.call_count:,}",
        format_usd(each),
        format_usd(part.cost_nano_usd),
    )


def _step(step: Step, whole_nano_usd: int) -> tuple[str, ...]:
    return step.technique, *_saved(step.cost_nano_usd, step.saved_nano_usd, whole_nano_usd)


def _saved(cost_nano_usd: int, saved_nano_usd: int, whole_nano_usd: int) -> tuple[str, str, str]:
    return format_usd(cost_nano_usd), format_usd(saved_nano_usd), percent(saved_nano_usd, whole_nano_usd)
