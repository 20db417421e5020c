"""`costsvc audit`: whether everything that is added up is right."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from costsvc.cli.refusal import CALL_FAILED, Refusal
from costsvc.cli.text import table
from costsvc.config import load_catalog_files
from costsvc.core.errors import StoreUnavailable
from costsvc.core.money import NANO_PER_USD, PICO_PER_NANO, format_usd
from costsvc.core.toml_rows import CatalogError
from costsvc.settings import Settings, SettingsError, read_settings

if TYPE_CHECKING:
    from costsvc.store.audit import Audit

_MOST_SHOWN = 100


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="The service's; its store, without a URL.")
@click.option("--redis-url", metavar="URL", help="The store.")
@click.option(
    "--catalog",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A file on top of the bundled catalogue. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def audit(*, data_dir: Path | None, redis_url: str | None, catalog: tuple[Path, ...], as_json: bool) -> None:
    """Check every sum in the store against the entries that it was added up from.

    It asks the store itself, with the service's settings, and may run while the service does. It
    changes nothing. The exit code is 1 where something is wrong.
    """
    try:
        settings = read_settings({"data_dir": data_dir, "redis_url": redis_url, "catalog": catalog})
        found = asyncio.run(_audit(settings))
    except (SettingsError, CatalogError) as error:
        raise Refusal(str(error)) from error
    except StoreUnavailable as error:
        raise Refusal(f"the store does not answer ({error}): start it, or correct --redis-url") from error
    click.echo(json.dumps(_as_json(found), indent=2) if as_json else _describe(found))
    if found.findings:
        raise SystemExit(CALL_FAILED)


async def _audit(settings: Settings) -> Audit:
    # Only now: the store's driver is slow to import, and a mistyped option should not be slow to hear of.
    from costsvc.store.audit import SealingGoesOn, audit  # noqa: PLC0415
    from costsvc.store.connection import StoreRefused, open_store  # noqa: PLC0415
    from costsvc.store.place import store_of  # noqa: PLC0415

    catalog = load_catalog_files(settings.catalog)
    try:
        async with store_of(settings.data_dir, settings.redis_url) as url:
            client = open_store(url)
            try:
                return await audit(client, catalog, owner=uuid4().hex)
            finally:
                await client.aclose()
    except StoreRefused as error:
        raise Refusal(str(error)) from error
    except SealingGoesOn:
        raise Refusal("entries were sealed meanwhile, so sums may have moved: repeat the audit") from None


def _as_json(found: Audit) -> dict[str, object]:
    values = asdict(found)
    values["findings"] = [{**asdict(each), "kind": each.kind.value} for each in found.findings]
    return values


def _describe(found: Audit) -> str:
    priced = f"{found.exact_count:,} of them priced again"
    based = format_usd(found.based_nano_usd)
    lines = [
        f"entries     {found.entry_count:,}, {format_usd(found.cost_nano_usd)}; {priced}",
        f"rounding    {_format_pico(found.rounding_pico_usd)} above the exact sum",
        f"sealed      {found.sealed_count:,} entries",
        f"rollups     {found.cell_count:,} cells",
        f"budgets     {found.balance_count:,} balances; {based} in them is from before a budget, or sealed",
        f"at risk     {found.risk_count:,} attempts",
        f"held        {found.held_count:,} attempts",
        "",
    ]
    if not found.findings:
        return "\n".join([*lines, "Everything adds up."])
    rows = [
        (each.kind.value, each.where, each.what, f"{each.kept:,}", f"{each.expected:,}")
        for each in found.findings[:_MOST_SHOWN]
    ]
    lines.append(table(("wrong", "where", "what", "kept", "expected"), rows, left=3))
    if len(found.findings) > _MOST_SHOWN:
        lines.append(f"... and {len(found.findings) - _MOST_SHOWN:,} more; --json has all")
    return "\n".join([*lines, "", f"{len(found.findings):,} things are wrong."])


def _format_pico(amount_pico_usd: int) -> str:
    """Return an exact amount, finer than nano-USD."""
    dollars, rest = divmod(amount_pico_usd, NANO_PER_USD * PICO_PER_NANO)
    return f"${dollars:,}.{rest:012d}"
