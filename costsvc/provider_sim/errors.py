"""Errors in the provider's shape: a status, a type, and a body that repeats the request id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

OVERLOADED_STATUS = 529
TYPE_BY_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    504: "timeout_error",
    OVERLOADED_STATUS: "overloaded_error",
}


class ApiError(Exception):
    """A refusal by the API itself: nothing was generated and nothing is billed."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type_: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type_ or TYPE_BY_STATUS.get(status, "api_error")
        self.code = code
        self.headers = dict(headers or {})

    def envelope(self, request_id: str | None) -> dict[str, Any]:
        """Return the JSON body; batch items carry a null request id."""
        error: dict[str, Any] = {"type": self.type, "message": self.message}
        if self.code:
            error["details"] = {"error_code": self.code}
        return {"type": "error", "error": error, "request_id": request_id}


def invalid(message: str) -> ApiError:
    """Return the 400 that a broken rule of the request gets."""
    return ApiError(400, message)


def not_found(message: str) -> ApiError:
    """Return the 404 of an unknown path, batch or model."""
    return ApiError(404, message)


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dumps(value: object) -> bytes:
    """Serialise compactly, text left as it is."""
    return _encode(value).encode("utf-8", "surrogatepass")
