"""`costsvc serve`: the service itself."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from costsvc.addresses import CannotListen
from costsvc.cli.refusal import Refusal
from costsvc.core.errors import StoreUnavailable
from costsvc.core.toml_rows import CatalogError
from costsvc.settings import SettingsError, read_settings


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="The gRPC API; 127.0.0.1:50051 unless given.")
@click.option("--ops", metavar="HOST:PORT", help="Metrics and probes; 127.0.0.1:8080 unless given.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where this process keeps its data.")
@click.option(
    "--redis-url", metavar="URL", help="The store; one of its own in the data directory unless given."
)
@click.option("--cache-redis-url", metavar="URL", help="A server of its own for stored answers.")
@click.option(
    "--upstream",
    type=click.Choice(["anthropic", "simulated"]),
    help="The provider; the real one with a key or a URL, else the simulated one.",
)
@click.option("--upstream-url", metavar="URL", help="Where the provider's API is.")
@click.option("--policy", type=click.Path(path_type=Path), help="A policy file instead of the bundled one.")
@click.option(
    "--catalog",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A file on top of the bundled catalogue. Repeatable.",
)
@click.option(
    "--allow-unauthenticated",
    is_flag=True,
    default=None,
    help="Listen beyond loopback although callers are not authenticated.",
)
def serve(**options: Any) -> None:
    """Run the service until it is told to stop.

    Every option is also an environment variable, such as COSTSVC_LISTEN; options win. The key of the
    provider is taken from ANTHROPIC_API_KEY.
    """
    try:
        settings = read_settings(options)
    except SettingsError as error:
        raise Refusal(str(error)) from error
    # gRPC's own lines repeat, in another form, what is logged or refused here in one sentence.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Only now: the service is slow to import, and a mistyped option should not be slow to hear of.
    from costsvc.edge.server import run  # noqa: PLC0415
    from costsvc.edge.stores import CannotStart  # noqa: PLC0415
    from costsvc.logs import configure_logs  # noqa: PLC0415
    from costsvc.store.connection import StoreRefused  # noqa: PLC0415

    configure_logs()
    try:
        asyncio.run(run(settings))
    except StoreUnavailable as error:
        raise Refusal(f"the store does not answer ({error}): start it, or correct --redis-url") from error
    except (CannotStart, CannotListen, StoreRefused, CatalogError) as error:
        raise Refusal(str(error)) from error
