"""The commands by name. A command's module, and all that it imports, is only loaded when it is needed."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "serve": ("serve", "Run the service."),
    "provider-sim": ("provider_sim", "Run the simulated provider alone."),
    "complete": ("complete", "Ask for an answer, and see what it cost."),
    "defer": ("defer", "Ask for an answer that may wait, at half price."),
    "deferred": ("deferred", "See what became of a deferred request, or take it back."),
    "route": ("route", "Ask which model should answer, and why."),
    "plan": ("plan", "Explain what would be done with a request, and why."),
    "estimate": ("estimate", "Ask what an answer would cost."),
    "batch": ("batch", "Send many requests at half price, and read their results."),
    "report": ("report", "Show spend and savings."),
    "budget": ("budget", "Set what may be spent, and see what is."),
    "at-risk": ("at_risk", "See what calls of unknown outcome may have cost, and settle it."),
    "router": ("router", "Teach the local score, and see what it has learned."),
    "cache": ("cache", "Invalidate stored answers, and report wrong ones."),
    "prompt-cache": ("prompt_cache", "See what the provider's cache did, and what to change."),
    "tenant": ("tenant", "Erase what is kept of a tenant's contents."),
    "audit": ("audit", "Check that everything adds up."),
    "check-config": ("check_config", "Check catalogue and policy, and print what is in force."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        name, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"costsvc.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="costsvc", prog_name="costsvc", message="%(prog)s %(version)s")
def costsvc() -> None:
    """Route, cache and account for Claude calls over gRPC."""
