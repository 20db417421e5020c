"""Settings that belong together: the nested groups of `settings.py`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from costsvc.core.urls import http_url

_MB = 1_000_000

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Url = Annotated[str, AfterValidator(http_url)]


class Admission(BaseModel):
    """How much one process takes on at a time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_calls: Count = Field(
        default=1_000, description="Calls in flight in one process; more are refused unspent."
    )
    max_calls_per_tenant: Count = Field(default=500, description="Calls in flight of one tenant.")
    max_bytes: Count = Field(default=256 * _MB, description="Bytes of requests in flight in one process.")
    max_bytes_per_tenant: Count = Field(
        default=128 * _MB, description="Bytes of requests in flight of one tenant."
    )


class Alerts(BaseModel):
    """Where alerts of budgets are posted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    webhook_url: Url | None = Field(
        default=None,
        repr=False,
        description="Where alerts of budgets without a URL of their own go. Never printed or logged.",
    )
    webhook_secret: SecretStr | None = Field(
        default=None, description="What alerts are signed with. Never printed or logged."
    )


class Batches(BaseModel):
    """How batches at the provider are looked after."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    poll_s: Seconds = Field(default=10.0, description="Seconds between looks at batches at the provider.")
    adopt_s: Seconds = Field(
        default=600.0,
        description="Seconds for which a batch is looked for whose creation was cut off; then it is created "
        "again.",
    )
