from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from costsvc.upstream.sse import Frame, FrameDecoder

lines = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
frames = st.builds(
    Frame,
    name=st.sampled_from(["", "ping", "message_start", "new_event"]),
    data=lines.map(lambda text: b"{" + text.encode()),
)


def decoded(chunks: list[bytes]) -> list[Frame]:
    """Return the frames of a stream that arrives in these chunks."""
    decoder = FrameDecoder()
    return [frame for chunk in chunks for frame in decoder.feed(chunk)]


@given(
    sent=st.lists(frames, max_size=6),
    newline=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    space=st.booleans(),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_frames_do_not_depend_on_how_the_bytes_arrive(sent, newline, space, cuts):
    """Cut anywhere, also within a character or a CRLF, the bytes give the frames that were sent."""
    separator = b": " if space else b":"
    wire = b""
    for frame in sent:
        name = b"event" + separator + frame.name.encode() + newline if frame.name else b""
        wire += name + b"data" + separator + frame.data + newline + newline
    at = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    chunks = [wire[start:end] for start, end in itertools.pairwise(at)]
    assert decoded(chunks) == sent
    assert decoded([wire[i : i + 1] for i in range(len(wire))]) == sent


def test_several_data_lines_are_one_payload():
    """Data lines of one event are joined by newlines, as the standard says."""
    assert decoded([b"data: {\ndata: }\n\n"]) == [Frame("", b"{\n}")]


def test_comments_ids_and_empty_events_are_skipped():
    """Lines that carry no data make no event."""
    assert decoded([b": keep-alive\n\nid: 7\nretry: 10\nevent: ping\n\ndata: 1\n\n"]) == [Frame("", b"1")]


def test_a_byte_order_mark_is_no_content():
    """A mark at the very start is not part of the first line."""
    assert decoded([b"\xef\xbb\xbfdata: 1\n\n"]) == [Frame("", b"1")]


def test_the_last_event_does_not_wait_for_the_byte_after_it():
    """An event that ends in CRs is given out at once, and the LFs that may follow start no other one."""
    decoder = FrameDecoder()
    assert decoder.feed(b"data: 1\r\r") == [Frame("", b"1")]
    assert decoder.feed(b"\ndata: 2\r\n\r\n") == [Frame("", b"2")]


def test_the_end_completes_what_was_begun():
    """At the end of the body an event without its blank line is given out, whole or cut."""
    decoder = FrameDecoder()
    assert decoder.feed(b'event: message_stop\ndata: {"type"') == []
    assert decoder.finish() == [Frame("message_stop", b'{"type"')]
    assert decoder.finish() == []
