"""`costsvc batch`: many requests at half price, from a file and into one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from costsvc.cli.batch_lines import check, messages, open_file, result_line
from costsvc.cli.remote import as_json_text, as_label, call, service_options
from costsvc.cli.text import percent, table
from costsvc.client import Client
from costsvc.core.money import format_usd
from costsvc.v1 import (
    BATCH_STATE_ENDED,
    Batch,
    BatchOptions,
    BatchState,
    CancelBatchRequest,
    CreateBatchStreamResponse,
    GetBatchRequest,
    ListBatchesRequest,
    Request,
    StreamBatchResultsRequest,
)

_LOOK_S = 2.0
_COUNTS = ("processing", "succeeded", "errored", "canceled", "expired", "refused")


@click.group("batch")
def batch() -> None:
    """Send many requests at half price, and read their results."""


@batch.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--request-id", default="", help="The batch's own id: with it, submitting may be repeated.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="For reports. Repeatable.")
@click.option("--task", default="", help="What kind of work it is, such as classification.")
@click.option("--all-or-nothing", is_flag=True, help="Send nothing where one request is bad.")
@click.option("--dry-run", is_flag=True, help="Before, have one answered at full price: is it taken at all?")
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@service_options
def submit(
    *,
    file: Path,
    request_id: str,
    labels: tuple[str, ...],
    task: str,
    all_or_nothing: bool,
    dry_run: bool,
    wait: bool,
    target: str,
    tenant: str,
    as_json: bool,
) -> None:
    """Send the requests of FILE.

    A line is one request, as the provider takes it: {"custom_id": "...",
    "params": {...}}. Without a model in its params costsvc chooses one.
    """
    options = BatchOptions(request_id=request_id, all_or_nothing=all_or_nothing, dry_run=dry_run)
    dressed = Request(task=task, labels=dict(map(as_label, labels)))

    async def send(client: Client) -> tuple[CreateBatchStreamResponse, Batch]:
        with open_file(file) as lines, _bar(os.fstat(lines.fileno()).st_size, "sending") as bar:
            made = await client.CreateBatchStream(messages(lines, options, dressed, bar.update))
        return made, await _ended(client, made.batch) if wait else made.batch

    with open_file(file) as lines:
        check(lines, str(file))
    made, now = call(target, tenant, send)
    made.batch.CopyFrom(now)
    for refused in made.refused:
        click.echo(
            f"refused: {refused.custom_id} (request {refused.index + 1}): {refused.error.message}", err=True
        )
    click.echo(as_json_text(made) if as_json else _shown(now))


@batch.command()
@click.argument("batch_id", metavar="BATCH")
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@service_options
def status(*, batch_id: str, wait: bool, target: str, tenant: str, as_json: bool) -> None:
    """Show how far BATCH is, what it costs, and what it saves."""

    async def see(client: Client) -> Batch:
        found = (await client.GetBatch(GetBatchRequest(batch_id=batch_id))).batch
        return await _ended(client, found) if wait else found

    found = call(target, tenant, see)
    click.echo(as_json_text(found) if as_json else _shown(found))


@batch.command("list")
@service_options
def list_(*, target: str, tenant: str, as_json: bool) -> None:
    """Show the batches of the last 30 days, newest first."""

    async def see(client: Client) -> list[Batch]:
        found: list[Batch] = []
        token = ""
        while True:
            page = await client.ListBatches(ListBatchesRequest(page_size=100, page_token=token))
            found += page.batches
            token = page.next_page_token
            if not token:
                return found

    batches = call(target, tenant, see)
    if as_json:
        for found in batches:
            click.echo(as_json_text(found, indent=None))
        return
    rows = [
        (each.batch_id, _state(each), str(sum(_counts(each))), format_usd(each.cost_nano_usd))
        for each in batches
    ]
    click.echo(table(("batch", "state", "items", "cost"), rows, left=2))


@batch.command()
@click.argument("batch_id", metavar="BATCH")
@service_options
def cancel(*, batch_id: str, target: str, tenant: str, as_json: bool) -> None:
    """End BATCH early: what is answered by then is billed and kept."""

    async def send(client: Client) -> Batch:
        return (await client.CancelBatch(CancelBatchRequest(batch_id=batch_id))).batch

    found = call(target, tenant, send)
    click.echo(as_json_text(found) if as_json else _shown(found))


@batch.command()
@click.argument("batch_id", metavar="BATCH")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Where to write; else standard output.")
@service_options
def results(*, batch_id: str, output: Path | None, target: str, tenant: str, as_json: bool) -> None:
    """Write the results of BATCH, a line each.

    They come in no order, as the provider writes them. With --json each line has also what the item
    cost and saved.
    """

    async def read(client: Client, out: IO[bytes]) -> None:
        found = (await client.GetBatch(GetBatchRequest(batch_id=batch_id))).batch
        with _bar(sum(_counts(found)), "reading") as bar:
            async for page in client.StreamBatchResults(StreamBatchResultsRequest(batch_id=batch_id)):
                for result in page.results:
                    line = (
                        as_json_text(result, indent=None).encode() + b"\n" if as_json else result_line(result)
                    )
                    out.write(line)
                bar.update(len(page.results))

    with output.open("wb") if output else _standard_output() as out:
        call(target, tenant, lambda client: read(client, out))


async def _ended(client: Client, found: Batch) -> Batch:
    """Wait for the end of a batch; on a terminal, a line shows how far it is."""
    is_shown = sys.stderr.isatty()
    while found.state != BATCH_STATE_ENDED:
        if is_shown:
            click.echo(f"\r{_progress(found)}\033[K", nl=False, err=True)
        await asyncio.sleep(_LOOK_S)
        found = (await client.GetBatch(GetBatchRequest(batch_id=found.batch_id))).batch
    if is_shown:
        click.echo("\r\033[K", nl=False, err=True)
    return found


def _progress(found: Batch) -> str:
    done, whole = sum(_counts(found)) - found.counts.processing_count, sum(_counts(found))
    filled = 30 * done // max(whole, 1)
    bar = "#" * filled + "-" * (30 - filled)
    return f"[{bar}] {done}/{whole} {_state(found)}, {found.age.seconds} s"


def _bar(length: int, label: str) -> Any:
    return click.progressbar(length=length, label=label, file=sys.stderr)


@contextmanager
def _standard_output() -> Iterator[IO[bytes]]:
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


def _shown(found: Batch) -> str:
    counts = dict(zip(_COUNTS, _counts(found), strict=True))
    standard, cost = found.standard_cost_nano_usd, found.cost_nano_usd
    rows = [
        ("batch", found.batch_id),
        ("state", _state(found)),
        ("age", f"{found.age.seconds} s"),
        ("items", ", ".join(f"{count} {name}" for name, count in counts.items() if count)),
        ("expected", format_usd(found.expected_cost_nano_usd)),
        ("cost", format_usd(cost)),
        ("saved", f"{format_usd(found.saved_nano_usd)} ({percent(standard - cost, standard)} of standard)"),
        *((("held", format_usd(found.held_nano_usd)),) if found.held_nano_usd else ()),
    ]
    return "\n".join(f"{name:<10}{value}" for name, value in rows)


def _state(found: Batch) -> str:
    return BatchState.Name(found.state).removeprefix("BATCH_STATE_").lower()


def _counts(found: Batch) -> list[int]:
    return [getattr(found.counts, f"{name}_count") for name in _COUNTS]
