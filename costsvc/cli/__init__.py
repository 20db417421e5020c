"""The command line: run the service, or call one."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `costsvc`; without the extra `server` say so instead of showing a traceback."""
    try:
        from costsvc.cli.commands import costsvc  # noqa: PLC0415 - the base install has no click
    except ModuleNotFoundError as error:
        sys.stderr.write(f"costsvc: {error.name} is not installed: install costsvc[server]\n")
        sys.exit(2)
    costsvc(prog_name="costsvc")
