"""What commands that call a running service share: where it is, for whom, and what to say when it refuses."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import grpc
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message as ProtoMessage
from google.rpc.error_details_pb2 import BadRequest, PreconditionFailure

from costsvc.cli.refusal import CALL_FAILED, CANNOT_START, Refusal
from costsvc.cli.spec import LIMIT
from costsvc.client import Client, error_info, status_of
from costsvc.v1 import Message, Request

DEFAULT_TARGET = "127.0.0.1:50051"
_MAX_INT32 = 2**31 - 1
_BROKEN_OFF = ("Socket closed", "recvmsg:Connection reset by peer", "Broken pipe")
"""What gRPC says of a connection that ended under a call; its code is that of one that never began."""

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


_JSON = click.option("--json", "as_json", is_flag=True, help="Print the response as JSON.")
_TARGET = click.option("--target", default=DEFAULT_TARGET, show_default=True, help="Where the service is.")


def service_options(command: F) -> F:
    """Add --target, --tenant and --json."""
    tenant = click.option(
        "--tenant", default="default", show_default=True, callback=_check_tenant, help="Who pays."
    )
    return _TARGET(tenant(_JSON(command)))


def operator_options(command: F) -> F:
    """Add --target and --json, for what concerns no tenant in particular."""
    return _TARGET(_JSON(command))


def request_options(command: F) -> F:
    """Add what a request can say; `build_request` takes it."""
    for option in (
        click.option(
            "--messages-json",
            metavar="FILE",
            type=click.Path(path_type=Path, allow_dash=True),
            help="The body of a Messages request as JSON, instead of TEXT; - reads standard input.",
        ),
        click.option(
            "--label", "labels", multiple=True, metavar="KEY=VALUE", help="For reports. Repeatable."
        ),
        click.option("--max-cost", metavar="USD", type=LIMIT, help="The most that it may cost."),
        click.option("--max-tokens", type=click.IntRange(1, _MAX_INT32), help="The longest answer."),
        click.option("--model", default="", help="A model to pin, instead of the one that routing chooses."),
        click.option("--task", default="", help="What kind of work it is, such as faq."),
        click.option("--system", default="", help="Instructions that stand before the text."),
        click.argument("text", required=False),
    ):
        command = option(command)
    return command


def build_request(
    *,
    text: str | None,
    system: str,
    task: str,
    model: str,
    max_tokens: int | None,
    max_cost: int | None,
    labels: tuple[str, ...],
    messages_json: Path | None,
) -> Request:
    """Return the request that the options describe; its rules are the service's to check."""
    if (text is None) == (messages_json is None):
        raise click.UsageError("give either TEXT or --messages-json")
    body = b"" if messages_json is None else read_bytes(messages_json)
    try:
        return Request(
            messages=[] if text is None else [Message(text=text)],
            messages_json=body,
            system=system,
            task=task,
            model=model,
            max_tokens=max_tokens,
            max_cost_nano_usd=max_cost,
            labels=dict(as_label(label) for label in labels),
        )
    except UnicodeEncodeError as error:
        raise click.UsageError("what is given is not UTF-8") from error


def administer(target: str, use: Callable[[Client], Awaitable[T]]) -> T:
    """Run something of the operator's, as `call` does."""
    return call(target, "default", use)


def call(target: str, tenant: str, use: Callable[[Client], Awaitable[T]]) -> T:
    """Run something with a client, and end the command with one sentence when the service refuses."""
    try:
        return asyncio.run(_with_client(target, tenant, use))
    except grpc.aio.AioRpcError as error:
        raise Refusal(_explain(error, target), CALL_FAILED) from error


def as_json_text(message: ProtoMessage, *, indent: int | None = 2) -> str:
    """Return a message as JSON with every field, so that scripts need no defaults."""
    return MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=indent
    )


async def _with_client(target: str, tenant: str, use: Callable[[Client], Awaitable[T]]) -> T:
    # A proxy of the environment is for the outside world; the service is not there.
    async with Client(target, tenant=tenant, options=[("grpc.enable_http_proxy", 0)]) as client:
        return await use(client)


def _explain(error: grpc.aio.AioRpcError, target: str) -> str:
    info = error_info(error)
    if info is None and error.code() is grpc.StatusCode.UNAVAILABLE:
        if error.details() in _BROKEN_OFF:
            return (
                f"the service at {target} went away before it answered: a completion may have been paid for"
            )
        return (
            f"no service answers at {target}: start one with `costsvc serve`, or name another with --target"
        )
    reason = info.reason if info else error.code().name
    spent = "; it may have been paid for" if info and info.metadata.get("may_have_spent") == "true" else ""
    return f"{reason}: {'; '.join(_problems(error)) or error.details()}{spent}"


def _problems(error: grpc.aio.AioRpcError) -> list[str]:
    """Return what is wrong with which field, or with which model."""
    found: list[str] = []
    for detail in status_of(error).details:
        bad, failed = BadRequest(), PreconditionFailure()
        if detail.Unpack(bad):
            found += [f"{violation.field}: {violation.description}" for violation in bad.field_violations]
        elif detail.Unpack(failed):
            found += [f"{violation.subject}: {violation.description}" for violation in failed.violations]
    return found


def _check_tenant(_context: click.Context, _parameter: click.Parameter, tenant: str) -> str:
    """Refuse what a header cannot carry; the service checks the rest."""
    if not (tenant.isascii() and tenant.isprintable()):
        raise click.BadParameter(f"{tenant!r} is not printable ASCII")
    return tenant


def as_label(text: str) -> tuple[str, str]:
    """Return the key and the value of KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--label")
    return key, value


def read_bytes(path: Path) -> bytes:
    """Return a file, or what comes by standard input for -."""
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}", CANNOT_START) from error
