"""Who is on this machine: as long as nobody is authenticated, only they may administer the service."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote

from grpc.aio import ServicerContext

from costsvc.edge.status import LoopbackOnly


def check_local(context: ServicerContext[Any, Any]) -> None:
    """Raise LoopbackOnly for a call from another machine, wherever this one listens."""
    if not is_local(context.peer()):
        raise LoopbackOnly


def is_local(peer: str) -> bool:
    """Tell whether a peer, as gRPC names it (`ipv6:%5B::1%5D:80`), is on this machine."""
    family, _, rest = unquote(peer).partition(":")
    if family == "unix":
        return True
    if family not in {"ipv4", "ipv6"}:
        return False
    host = rest.rpartition(":")[0].strip("[]")
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
