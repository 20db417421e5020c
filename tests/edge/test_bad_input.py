"""Tests that bad input is refused by field, and changes nothing."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from costsvc import v1

USER = {"role": "user", "content": "hi"}
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def body(**members: Any) -> bytes:
    """Return a small body with members laid over it."""
    return json.dumps({"max_tokens": 50, "messages": [USER], **members}).encode()


def seen(refusal: Any) -> tuple[Any, ...]:
    """Return what all refusals of input have in common: code, reason, fields, and no word of a retry."""
    return refusal.code, refusal.reason, list(refusal.violations), refusal.pushback


BAD_JSON = {
    "not JSON": b"{",
    "no JSON at all": b"hello",
    "text after the object": body() + b"{}",
    "an array": b"[]",
    "a string": b'"messages"',
    "null": b"null",
    "a trailing comma": b'{"messages":[{"role":"user","content":"hi"},]}',
    "a comment": b'{/* */"messages":[{"role":"user","content":"hi"}]}',
    "single quotes": b"{'messages':[]}",
    "a control character": b'{"messages":[{"role":"user","content":"a\nb"}]}',
    "a byte-order mark": b"\xef\xbb\xbf" + body(),
    "a key twice at the top": b'{"max_tokens":1,"max_tokens":2,"messages":[{"role":"user","content":"hi"}]}',
    "a key twice by an escape": b'{"max_tokens":1,"max_t\\u006fkens":2,"messages":[]}',
    "a key twice inside": b'{"messages":[{"role":"user","content":"a","content":"b"}]}',
    "a key twice in what nobody reads": b'{"later":{"a":[{"b":1,"b":1}]},"messages":[]}',
    "NaN": b'{"temperature":NaN,"messages":[{"role":"user","content":"hi"}]}',
    "infinity": b'{"later":[Infinity],"messages":[{"role":"user","content":"hi"}]}',
    "negative infinity": b'{"later":{"x":-Infinity},"messages":[{"role":"user","content":"hi"}]}',
    "half of a surrogate pair": b'{"messages":[{"role":"user","content":"\\ud83d"}]}',
    "the other half": b'{"messages":[{"role":"user","content":"\\uDE00 alone"}]}',
    "a surrogate in a key": b'{"\\ud800":1,"messages":[{"role":"user","content":"hi"}]}',
    "invalid UTF-8": b'{"messages":[{"role":"user","content":"\xff"}]}',
    "an overlong form": b'{"messages":[{"role":"user","content":"\xc0\xaf"}]}',
    "a surrogate as bytes": b'{"messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
    "UTF-16": body().decode().encode("utf-16"),
    "arrays without end": b'{"messages":' + b"[" * 100_000,
    "objects without end": b'{"messages":' + b'{"a":' * 100_000,
    "deep and whole": b'{"later":' + b"[" * 50_000 + b"]" * 50_000 + b',"messages":[]}',
    "a number of a megabyte": b'{"later":' + b"9" * 1_000_000 + b',"messages":[]}',
}


async def test_what_is_no_json_object_is_refused(service, refused):
    """Bytes on whose meaning two readers could differ are refused, naming the field."""
    found = {name: seen(await refused(service.complete(body=raw))) for name, raw in BAD_JSON.items()}
    assert found == dict.fromkeys(BAD_JSON, (INVALID, "INVALID_FIELD", ["request.messages_json"], None))
    assert await service.untouched()


BAD_MEMBERS = {
    "model": 5,
    "max_tokens": "many",
    "system": 7,
    "tools": {},
    "tool_choice": "auto",
    "thinking": True,
    "output_config": [],
    "metadata": "m",
    "stop_sequences": "stop",
    "stream": 1,
    "temperature": "warm",
    "top_p": [0.5],
    "top_k": 1.5,
    "speed": False,
    "inference_geo": 3,
    "messages": "hi",
}


async def test_a_member_of_the_wrong_type_is_named(service, refused):
    """Each member that costsvc reads has its type checked before anything is decided."""
    for name, value in BAD_MEMBERS.items():
        found = await refused(service.complete(body=body(**{name: value})))
        assert seen(found) == (INVALID, "INVALID_FIELD", [f"request.messages_json.{name}"], None)
    assert await service.untouched()


BAD_VALUES: list[tuple[str, dict[str, Any]]] = [
    ("max_tokens", {"max_tokens": -1}),
    ("max_tokens", {"max_tokens": True}),
    ("max_tokens", {"max_tokens": 10.0}),
    ("messages", {"messages": []}),
    ("messages[0]", {"messages": ["hi"]}),
    ("messages[1]", {"messages": [USER, None]}),
    ("messages[0].role", {"messages": [{"role": "robot", "content": "hi"}]}),
    ("messages[0].role", {"messages": [{"role": ["user"], "content": "hi"}]}),
    ("messages[0].role", {"messages": [{"content": "hi"}]}),
    ("messages[1].content", {"messages": [USER, {"role": "assistant"}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": {"type": "text"}}]}),
    ("messages[0].content[0]", {"messages": [{"role": "user", "content": ["hi"]}]}),
    ("messages[0].content[0]", {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}),
    ("messages[0].content[0].text", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}),
    ("system[0].text", {"system": [{"type": "text", "text": 5}]}),
    ("system[0]", {"system": ["be brief"]}),
    ("temperature", {"temperature": 0.5}),
    ("top_p", {"top_p": 0.5}),
    ("top_k", {"top_k": 5}),
]  # fmt: skip


async def test_a_bad_value_is_named_by_its_path(service, refused):
    """The path leads to the place, down to the block of a message."""
    for path, members in BAD_VALUES:
        found = await refused(service.complete(body=body(**members)))
        assert seen(found) == (INVALID, "INVALID_FIELD", [f"request.messages_json.{path}"], None)
    assert await service.untouched()


async def test_every_bad_member_is_named_at_once(service, refused):
    """A caller learns of all broken rules in one answer."""
    found = await refused(service.complete(body=body(tools=1, system=2, max_tokens=-3)))
    expected = {f"request.messages_json.{name}" for name in ("tools", "system", "max_tokens")}
    assert set(found.violations) == expected


BAD_FIELDS: list[tuple[str, v1.Request]] = [
    ("request", v1.Request()),
    ("request", v1.Request(messages=[v1.Message(text="a")], messages_json=body())),
    ("request", v1.Request(messages_json=body(), system="be brief")),
    ("request", v1.Request(messages_json=body(), max_tokens=5)),
    ("request.messages[0].text", v1.Request(messages=[v1.Message()])),
    ("request.messages[0].role", v1.Request(messages=[v1.Message(text="a", role=9)])),
    ("request.max_tokens", v1.Request(messages=[v1.Message(text="a")], max_tokens=-5)),
    ("request.max_tokens", v1.Request(messages=[v1.Message(text="a")], max_tokens=0)),
    ("request.request_id", v1.Request(messages_json=body(), request_id="a\r\nx-evil: 1")),
    ("request.request_id", v1.Request(messages_json=body(), request_id="with space")),
    ("request.request_id", v1.Request(messages_json=body(), request_id="é")),
    ("request.request_id", v1.Request(messages_json=body(), request_id="x" * 129)),
    ("request.conversation_id", v1.Request(messages_json=body(), conversation_id="a\0b")),
    ("request.labels['Team']", v1.Request(messages_json=body(), labels={"Team": "a"})),
    ("request.labels['']", v1.Request(messages_json=body(), labels={"": "a"})),
    ("request.labels['team']", v1.Request(messages_json=body(), labels={"team": "x" * 129})),
    ("request.labels", v1.Request(messages_json=body(), labels={f"k{i}": "v" for i in range(17)})),
    ("request.task", v1.Request(messages_json=body(), task="Not A Task")),
    ("request.model", v1.Request(messages_json=body(), model="x" * 129)),
    ("request.model", v1.Request(messages_json=body(model="claude-opus-5-5"), model="claude-haiku-5-5")),
    ("request.min_tier", v1.Request(messages_json=body(), min_tier=9)),
    ("request.max_tier", v1.Request(messages_json=body(), max_tier=-1)),
    ("request.min_tier", v1.Request(messages_json=body(), min_tier=3, max_tier=1)),
    ("request.cache_mode", v1.Request(messages_json=body(), cache_mode=7)),
    ("request.routing_mode", v1.Request(messages_json=body(), routing_mode=7)),
    ("request.marker_mode", v1.Request(messages_json=body(), marker_mode=7)),
    ("request.betas[0]", v1.Request(messages_json=body(), betas=["a,b\r\n"])),
]


async def test_a_field_that_breaks_a_rule_is_named(service, refused):
    """The rules of the schema and those between fields are refused in the same form, by every RPC."""
    for path, request in BAD_FIELDS:
        for call in (
            service.stub.Complete(v1.CompleteRequest(request=request)),
            service.stub.Route(v1.RouteRequest(request=request)),
            service.stub.Estimate(v1.EstimateRequest(request=request)),
        ):
            found = await refused(call)
            assert seen(found) == (INVALID, "INVALID_FIELD", [path], None)
            assert found.violations[path]
    assert await service.untouched()


async def test_a_stream_is_refused_like_a_call(service, refused):
    """A stream with bad input ends with the same status and no event."""
    found = await refused(service.stream(body=body(tools=1)))
    assert list(found.violations) == ["request.messages_json.tools"]
    found = await refused(service.stream(form=9))
    assert list(found.violations) == ["format"]
    assert await service.untouched()


async def test_an_empty_message_is_refused(service, refused):
    """No bytes at all are a request without a request."""
    found = await refused(service.stub.Complete(v1.CompleteRequest()))
    assert list(found.violations) == ["request"]
    assert await service.untouched()


UNDECODABLE = {
    "noise": b"\xff\xff\xff",
    "cut off": b"\x0a\x7f",
    "a string that is not UTF-8": b"\x0a\x03\x2a\x01\xff",
    "an open group": b"\x0b",
    "field zero": b"\x00\x01",
}


async def test_bytes_that_are_no_message_are_the_callers_fault(service, refused):
    """Undecodable bytes are INVALID_ARGUMENT with a reason of their own, for unary and streamed calls."""
    path = "/costsvc.v1.CostService/"

    async def read(raw: bytes) -> None:
        async for _ in service.channel.unary_stream(f"{path}StreamComplete")(raw):
            pass

    for raw in UNDECODABLE.values():
        for call in (service.channel.unary_unary(f"{path}Complete")(raw), read(raw)):
            assert seen(await refused(call)) == (INVALID, "UNDECODABLE", [], None)
    assert await service.untouched()
    assert [line["reason"] for line in service.lines()] == ["UNDECODABLE"] * 2 * len(UNDECODABLE)


async def test_more_than_32_mb_is_refused_by_field(service, refused):
    """A body above the provider's limit is named by the service, not cut off by the transport."""
    found = await refused(service.complete(body=b" " * (32 * 1024 * 1024 + 1)))
    assert (found.code, list(found.violations)) == (INVALID, ["request.messages_json"])
    assert await service.untouched()


async def test_more_than_100_000_messages_are_refused(service, refused):
    """The provider's limit on messages holds for both ways to say a request."""
    found = await refused(service.complete(body=body(messages=[USER] * 100_001)))
    assert list(found.violations) == ["request.messages_json.messages"]
    many = v1.Request(messages=[v1.Message(text="a")] * 100_001)
    found = await refused(service.stub.Complete(v1.CompleteRequest(request=many)))
    assert list(found.violations) == ["request.messages"]
    assert await service.untouched()


@pytest.mark.parametrize("padding", [0, 300_000], ids=["small", "large"])
async def test_no_depth_of_nesting_is_a_defect(service, refused, padding):
    """Whatever can be read can be measured: a body is accepted, or it is refused as too deep."""
    turn = b'{"role":"user","content":"%b"}' % (b"x" * (padding + 1))
    codes = set()
    for depth in range(900, 1000, 2):
        tool = b'{"name":"t","input_schema":%b}' % (b"[" * depth + b"]" * depth)
        raw = b'{"tools":[%b],"messages":[%b]}' % (tool, turn)
        estimate = v1.EstimateRequest(request=v1.Request(messages_json=raw, conversation_id="c"))
        call = service.stub.Estimate(estimate)
        codes.add(await call.code())
        if await call.code() is not grpc.StatusCode.OK:
            assert list((await refused(call)).violations) == ["request.messages_json"]
    assert codes == {grpc.StatusCode.OK, INVALID}


@pytest.mark.parametrize("odd", [["any"], {"any": 1}], ids=["array", "object"])
async def test_an_odd_type_is_no_defect(service, odd):
    """A type that is no word is the provider's to refuse, in whatever member it stands."""
    nested = {"role": "user", "content": [{"type": "tool_result", "content": [{"type": odd}]}]}
    for members in ({"tools": [{"type": odd}]}, {"tool_choice": {"type": odd}}, {"messages": [nested]}):
        route = v1.RouteRequest(request=v1.Request(messages_json=body(**members)))
        assert (await service.stub.Route(route)).decision.model
    assert not service.lines("defect")


LONG = "\N{CRAB}" * 5_000


async def test_long_input_does_not_make_the_error_too_long_to_send(service, refused):
    """A status fits into the metadata that clients accept, whatever it has to quote."""
    for request in (
        v1.Request(messages_json=body(model=LONG)),
        v1.Request(messages_json=body(), labels={f"{n}{LONG}": LONG for n in range(20)}),
        v1.Request(messages_json=body(), task=LONG, model=LONG, betas=[LONG] * 20, conversation_id=LONG),
        v1.Request(messages_json=b'{"%b":1,"%b":1}' % (LONG.encode(), LONG.encode())),
        v1.Request(messages_json=body(thinking={"type": LONG})),
    ):
        found = await refused(service.stub.Route(v1.RouteRequest(request=request)))
        assert found.reason in {"INVALID_FIELD", "UNKNOWN_MODEL", "NO_MODEL_FITS"}
        assert found.violations or found.resource or found.models
