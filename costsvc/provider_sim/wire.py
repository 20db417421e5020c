"""HTTP in and out: reading bodies with a limit, keys and versions, headers, errors as JSON."""

from __future__ import annotations

import json
import zlib
from typing import Any

from aiohttp import web

from .errors import ApiError, dumps, invalid

MEGABYTE = 2**20
MAX_BODY_BYTES = 32 * MEGABYTE
MAX_BATCH_BYTES = 256 * MEGABYTE
ORGANIZATION = "6b1f3c52-5d0e-4c1a-9a37-000000000001"


async def read_body(request: web.BaseRequest, limit: int) -> bytes:
    """Return the body; one above the limit is a 413, without being read to its end."""
    length = request.content_length
    if length is not None and length > limit:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    while chunk := await request.content.readany():
        size += len(chunk)
        if size > limit:
            raise _too_large()
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def parse(raw: bytes) -> Any:
    """Return the JSON of a body; NaN, lone surrogates and broken bytes are refused as the provider does."""
    try:
        value = json.loads(raw, parse_constant=_no_constants)
        if b"\\ud" in raw or b"\\uD" in raw:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise invalid(f"The request body is not valid JSON: {error}") from error
    return value


def check_key(request: web.BaseRequest) -> str:
    """Return the workspace of the key; 401 without a key, or with one that says it is invalid."""
    headers = request.headers
    key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ").strip()
    if not key:
        raise ApiError(401, "x-api-key header is required")
    if "invalid" in key:
        raise ApiError(401, "invalid x-api-key")
    return headers.get("anthropic-workspace-id") or f"wrkspc_01{zlib.crc32(key.encode()):08x}"


def identity(request_id: str, workspace: str) -> dict[str, str]:
    """Return the headers that every answer has."""
    return {
        "request-id": request_id,
        "anthropic-organization-id": ORGANIZATION,
        "anthropic-workspace-id": workspace,
    }


def error_response(error: ApiError, request_id: str, headers: dict[str, str]) -> web.Response:
    """Return an error as the provider sends it."""
    return json_response(error.envelope(request_id), {**headers, **error.headers}, status=error.status)


def json_response(value: object, headers: dict[str, str], status: int = 200) -> web.Response:
    """Return a JSON answer."""
    return web.Response(body=dumps(value), status=status, headers=headers, content_type="application/json")


def query_int(request: web.BaseRequest, name: str, default: int, low: int, high: int) -> int:
    """Return a whole number from the query; out of range is a 400."""
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isdecimal() or not low <= int(text) <= high:
        raise invalid(f"{name}: Input should be from {low} to {high}")
    return int(text)


def _no_constants(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _too_large() -> ApiError:
    return ApiError(413, "Request exceeds the maximum size")
