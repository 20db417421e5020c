"""How a command ends when it cannot do what it was asked: one sentence, and an exit code."""

from __future__ import annotations

from typing import IO, Any

import click

CANNOT_START = 2
CALL_FAILED = 1


class Refusal(click.ClickException):
    """Ends the command; `message` is one sentence."""

    def __init__(self, message: str, exit_code: int = CANNOT_START) -> None:
        super().__init__(message)
        self.exit_code: int = exit_code  # type: ignore[misc] # click reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the sentence to standard error."""
        click.echo(f"costsvc: {self.message}", file=file, err=True)
