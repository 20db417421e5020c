"""Addresses to listen on: host:port, and who can reach them."""

from __future__ import annotations

import os
from ipaddress import ip_address
from urllib.parse import urlsplit


class CannotListen(Exception):
    """The address is in use or not ours; the message says so in one sentence."""

    def __init__(self, address: str, option: str, error: OSError) -> None:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        super().__init__(f"cannot listen on {address}: {reason}; name another address with {option}")


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of `host:port` or `[ipv6]:port`; port 0 takes a free one.

    Raises:
        ValueError: not such an address.
    """
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (colon and bare and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise ValueError("must be an address such as 127.0.0.1:50051")
    if ":" in bare and bare == host:
        raise ValueError("must have its IPv6 address in brackets, such as [::1]:50051")
    return bare, int(port)


def join_address(host: str, port: int) -> str:
    """Return host:port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(address: str) -> bool:
    """Tell whether only this machine can reach an address; names other than localhost may be anyone's."""
    host, _ = split_address(address)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def without_credentials(url: str | None) -> str | None:
    """Return a URL without user, password and query, any of which may be a secret."""
    if url is None:
        return None
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
