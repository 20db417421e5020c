"""What an operator can set: environment variables, the usual ones also options of `costsvc serve`.

A configuration that cannot work is refused at the start with one sentence that says what to do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from costsvc.addresses import is_loopback, split_address, without_credentials
from costsvc.settings_groups import Admission, Alerts, Batches, Seconds, Url

PREFIX = "COSTSVC_"
OPTIONS = (
    *("listen", "ops", "data_dir", "redis_url", "cache_redis_url", "upstream", "upstream_url", "policy"),
    "catalog",
    "allow_unauthenticated",
)
"""The settings that are also options of `costsvc serve`, in the order of its help."""

_URLS = ("redis_url", "cache_redis_url", "upstream_url")
_SIMILAR = 0.85


class SettingsError(ValueError):
    """The settings cannot work; the message is one sentence that says what to do."""


class Settings(BaseSettings):
    """Everything that can be set, checked as a whole; `read_settings` makes it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    listen: str = Field("127.0.0.1:50051", description="Address of the gRPC API.")
    ops: str = Field("127.0.0.1:8080", description="Address of metrics and probes over HTTP.")
    data_dir: Path = Field(Path("~/.local/share/costsvc"), description="Where this process keeps its data.")
    redis_url: str | None = Field(
        None,
        repr=False,
        description="The store: `redis://`, `rediss://` or `unix://`. Without it, a store of its own, in the "
        "data directory.",
    )
    cache_redis_url: str | None = Field(
        None, repr=False, description="A server of its own for stored answers. Without it, the store."
    )
    cache_secret: SecretStr | None = Field(
        None,
        description="What stored answers are found by, the same on every replica. Without it, the first "
        "replica creates one in the store. Never printed or logged.",
    )
    upstream: Literal["anthropic", "simulated"] | None = Field(
        None,
        description="The provider: `anthropic` or `simulated`. Without it, the real one if there is a key "
        "or an upstream URL, else the simulated one.",
    )
    upstream_url: Url | None = Field(
        None, repr=False, description="Where the provider's API is, instead of its public address."
    )
    policy: Path | None = Field(None, description="Policy file that replaces the bundled one.")
    catalog: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Catalogue files on top of the bundled one, in order: new rows, discounts. Separated by "
        "commas in the environment; the option can be repeated.",
    )
    allow_unauthenticated: bool = Field(
        default=False, description="Listen beyond loopback although callers are not authenticated."
    )
    max_call_s: Seconds = Field(600, description="The longest that a call may take, in seconds.")
    answer_ttl_s: Annotated[Seconds, Field(le=86_400)] = Field(
        3_600, description="Seconds for which a call that repeats a request_id gets the first answer again."
    )
    drain_s: float = Field(
        0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds between telling probes that this process stops and refusing calls; 5 behind a "
        "load balancer that polls them.",
    )
    shutdown_grace_s: Seconds | None = Field(
        None,
        description="Seconds that running calls get to end at a stop. When not set: the longest call.",
    )
    retention_days: Annotated[int, Field(ge=10)] = Field(
        35, description="Days for which entries and hourly sums stay in the store, before they are archived."
    )
    admission: Admission = Field(Admission(), description="Limits of what is in flight.")
    alerts: Alerts = Field(Alerts(), description="Where alerts are posted.")
    batches: Batches = Field(Batches(), description="How batches are looked after.")
    anthropic_api_key: SecretStr | None = Field(
        None,
        validation_alias="ANTHROPIC_API_KEY",
        description="The provider's key. Never printed or logged.",
    )

    @property
    def provider(self) -> Literal["anthropic", "simulated"]:
        """The provider in effect."""
        if self.upstream is not None:
            return self.upstream
        return "anthropic" if self.anthropic_api_key or self.upstream_url else "simulated"

    @property
    def grace_s(self) -> float:
        """How long running calls may take to end at a stop."""
        return self.max_call_s if self.shutdown_grace_s is None else self.shutdown_grace_s

    def shown(self) -> dict[str, Any]:
        """Return all settings as JSON values, without the key and without credentials inside URLs."""
        values = self.model_dump(mode="json", exclude={"anthropic_api_key", "cache_secret", "alerts"})
        urls = {name: without_credentials(values[name]) for name in _URLS}
        return {
            **values,
            **urls,
            "provider": self.provider,
            "has_api_key": self.anthropic_api_key is not None,
            "has_alert_webhook": self.alerts.webhook_url is not None,
        }

    @field_validator("listen", "ops")
    @classmethod
    def _check_address(cls, address: str) -> str:
        split_address(address)
        return address

    @field_validator("data_dir", "policy")
    @classmethod
    def _expand(cls, path: Path | None) -> Path | None:
        return path.expanduser() if path else None

    @field_validator("catalog", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @field_validator("anthropic_api_key", "cache_secret", mode="before")
    @classmethod
    def _strip(cls, key: object) -> object:
        """Forgive the line end that a key from a file often has; a blank key is none."""
        return (key.strip() or None) if isinstance(key, str) else key

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.upstream == "simulated" and self.upstream_url:
            raise SettingsError(
                "an upstream URL is for the real adapter: leave out --upstream simulated, or the URL"
            )
        if self.provider == "anthropic" and not (self.anthropic_api_key or self.upstream_url):
            raise SettingsError(
                "the real provider needs a key: set ANTHROPIC_API_KEY, or start with --upstream simulated"
            )
        if not (is_loopback(self.listen) or self.allow_unauthenticated):
            raise SettingsError(
                f"callers are not authenticated, so {self.listen} would let anyone who reaches it spend: "
                "listen on a loopback address such as 127.0.0.1:50051, or add --allow-unauthenticated"
            )
        return self


def read_settings(options: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings of the environment, with what was given as options on top (None is not given).

    Raises:
        SettingsError: a value or a combination that cannot work.
    """
    given = {name: value for name, value in (options or {}).items() if value not in (None, ())}
    _check_names()
    try:
        return Settings(**given)
    except SourceError as error:
        raise SettingsError(f"the environment cannot be read: {error}") from None
    except ValidationError as error:
        raise SettingsError(_sentence(error, given)) from None


def settings_table() -> str:
    """Return the settings as a Markdown table: name, option, default, meaning."""
    rows = ["| environment variable | option | default | meaning |", "|---|---|---|---|"]
    for path, field in _fields():
        option = f"`{_option(path[0])}`" if path[0] in OPTIONS else ""
        rows.append(f"| `{_variable(path)}` | {option} | {_default(field.default)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _sentence(error: ValidationError, given: Mapping[str, Any]) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    path = tuple(str(part) for part in first["loc"])
    if not path:
        return message
    name = _option(path[0]) if path[0] in given else _variable(path)
    return f"{name} {message[:1].lower()}{message[1:]}"


def _check_names() -> None:
    """Refuse a mistyped name: the setting meant would silently keep its default."""
    known = [_variable(path) for path, _ in _fields()]
    for name in sorted(os.environ):
        if not name.upper().startswith(PREFIX) or name.upper() in known:
            continue
        meant = get_close_matches(name.upper()[len(PREFIX) :], [k[len(PREFIX) :] for k in known], 1, _SIMILAR)
        if meant:
            raise SettingsError(f"there is no setting {name}: {PREFIX}{meant[0]} is meant, or rename it")


def _fields() -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, field in Settings.model_fields.items():
        if field.annotation in (Admission, Alerts, Batches):
            found += [((name, inner), details) for inner, details in field.annotation.model_fields.items()]
        else:
            found.append(((str(field.validation_alias or name),), field))
    return found


def _variable(path: tuple[str, ...]) -> str:
    return path[0] if path[0].isupper() else PREFIX + "__".join(path[:2]).upper()


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _default(value: object) -> str:
    match value:
        case None | ():
            return ""
        case bool():
            return str(value).lower()
        case int() | float():
            return f"{value:_}"
        case _:
            return f"`{value}`"
