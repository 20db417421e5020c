"""`costsvc provider-sim`: the simulated provider as a program."""

from __future__ import annotations

import asyncio
import signal

import click

from costsvc import provider_sim as simulator
from costsvc.addresses import CannotListen, split_address
from costsvc.cli.refusal import Refusal


@click.command()
@click.option(
    "--listen", metavar="HOST:PORT", default="127.0.0.1:8787", show_default=True, help="Where to listen."
)
@click.option(
    "--first-byte-ms", type=click.FloatRange(min=0), default=0, help="How long answers take to begin."
)
@click.option("--ms-per-token", type=click.FloatRange(min=0), default=0, help="How long each token takes.")
def provider_sim(*, listen: str, first_byte_ms: float, ms_per_token: float) -> None:
    """Run the simulated provider until it is told to stop.

    It answers the Messages API without a key, and meters and bills like the real one. /_sim/bill shows its
    bill, /_sim/faults takes faults; docs/provider-sim.md has the rest.
    """
    try:
        host, port = split_address(listen)
        asyncio.run(_serve(host, port, first_byte_ms=first_byte_ms, ms_per_token=ms_per_token))
    except ValueError as error:
        raise Refusal(f"--listen {error}") from error
    except OSError as error:
        raise Refusal(str(CannotListen(listen, "--listen", error))) from error


async def _serve(host: str, port: int, *, first_byte_ms: float, ms_per_token: float) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with await simulator.start(
        host, port, first_byte_ms=first_byte_ms, ms_per_token=ms_per_token
    ) as running:
        click.echo(f"simulated provider on {running.url}", err=True)
        await stopped.wait()
