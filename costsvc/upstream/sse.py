"""Server-sent events out of bytes that arrive in any pieces (https://html.spec.whatwg.org, section 9.2)."""

from __future__ import annotations

from dataclasses import dataclass

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as sent: `name` is what its `event:` line says, or empty; `data` is its payload."""

    name: str
    data: bytes


class FrameDecoder:
    r"""Cut a byte stream into frames; lines end in LF, CRLF or CR, and any of it may be split anywhere.

    A CR ends its line at once, without waiting for the LF that may follow: the last event of a stream must
    not hang on a byte that never comes.
    """

    __slots__ = ("_after_cr", "_at_start", "_data", "_name", "_pieces")

    def __init__(self) -> None:
        self._at_start = True
        self._after_cr = False
        self._pieces: list[bytes] = []
        self._name = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Frame]:
        """Return the frames that `chunk` completes."""
        chunk = self._with_plain_newlines(chunk)
        if b"\n" not in chunk:
            self._pieces.append(chunk)
            return []
        *lines, rest = b"".join([*self._pieces, chunk]).split(b"\n")
        self._pieces = [rest]
        return self._frames(lines)

    def finish(self) -> list[Frame]:
        """Return the frame that the end of the stream completes, which may have been cut in the middle."""
        return self.feed(b"\n\n")

    def _with_plain_newlines(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _frames(self, lines: list[bytes]) -> list[Frame]:
        if self._at_start:
            lines[0] = lines[0].removeprefix(_BOM)
            self._at_start = False
        frames = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif line.startswith(b"event:"):
                self._name = line[6:].strip()
            elif not line:
                frames += self._dispatch()
        return frames

    def _dispatch(self) -> list[Frame]:
        """Return the frame that a blank line ends; without data there is none, as the standard says."""
        name, data = self._name.decode(errors="replace"), b"\n".join(self._data)
        self._name, self._data = b"", []
        return [Frame(name, data)] if data else []
