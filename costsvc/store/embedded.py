"""The store without a store: a real server of our own, as a child process on a unix socket.

Two locks keep a data directory consistent. `owner.lock` is held by this process alone, so a second service
fails at once and is told who has it. `server.lock` is handed to the server, so it is free exactly when no
server runs on the data: a server whose owner was killed is found by it, asked to stop through its socket, and
waited for. Normally none is left: a watcher beside the server waits on a pipe whose other end only this
process has, and ends the server when the pipe breaks.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import IO, Self

from costsvc.core.errors import StoreUnavailable
from costsvc.store.connection import StoreRefused, ask, open_store, translated
from costsvc.store.program import find_server

START_TIMEOUT_S = 60.0  # reading a large append-only file takes seconds
STOP_TIMEOUT_S = 10.0
ORPHAN_TIMEOUT_S = 15.0
_POLL_S = 0.01
_LONGEST_SOCKET_PATH_BYTES = 103  # the smallest limit of the systems we know, less the final NUL
_LOG_TAIL_BYTES = 2_000

# stdin is the pipe to watch, stdout the lock to hand on. The watcher does not hold the lock: it may outlive
# the server. A line on the pipe is an orderly end; its end without a line means that the owner is gone.
_LAUNCH = """
exec 3<&0 4>&1 </dev/null >/dev/null
(
  exec 4>&-
  read -r farewell <&3 && exit
  kill -TERM $$
  for second in 1 2 3 4 5 6 7 8 9 10; do
    sleep 1
    kill -0 $$ || exit
  done
  kill -KILL $$
) 2>/dev/null &
exec 3<&-
exec "$@"
"""


class EmbeddedValkey:
    """A server on `data_dir`, as an async context manager; `url` is what `open_store` takes.

    It is not tied to an event loop, so one server may outlive several.
    """

    def __init__(self, data_dir: Path, *, start_timeout_s: float = START_TIMEOUT_S) -> None:
        self._data_dir = data_dir
        self._dir = data_dir / "store"
        self._start_timeout_s = start_timeout_s
        self._owner_lock: IO[str] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._socket = self._dir / "valkey.sock"
        self._socket_dir: Path | None = None

    @property
    def url(self) -> str:
        """Where to reach the server."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the server and return when it has read its data and answers.

        Raises:
            StoreRefused: no server program, a directory in use or not writable, or a server that ends
                or does not answer in time; the message says which.
        """
        program = find_server()
        self._own()
        try:
            await self._launch(program)
            await self._ready()
        except BaseException:
            await self.stop()
            raise

    @property
    def exit_code(self) -> int | None:
        """How the server ended, None where it runs, or was stopped."""
        return self._process.poll() if self._process is not None else None

    @property
    def last_words(self) -> str:
        """The last line of the server's log, which says why it ended, if anything does."""
        return _last_line(self._log)

    async def restart(self) -> None:
        """Start a server that has ended; it answers as soon as it has read its data.

        Raises:
            StoreRefused, OSError: it cannot be started.
        """
        if self._process is not None:
            _dismiss(self._process)
        await self._launch(find_server())

    async def stop(self) -> None:
        """Stop the server with all its data on disk; kill it only when it does not stop by itself in time."""
        process, self._process = self._process, None
        if process is not None:
            await asyncio.shield(asyncio.to_thread(_end, process))
        if self._socket_dir is not None:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
        if self._owner_lock is not None:
            self._owner_lock.close()
            self._owner_lock = None

    def _own(self) -> None:
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            self._dir.mkdir(mode=0o700, exist_ok=True)
            self._dir.chmod(0o700)
            lock = (self._dir / "owner.lock").open("a+")
        except OSError as error:
            raise StoreRefused(f"the data directory {self._data_dir} cannot be used: {error}") from error
        if not _locked(lock):
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise StoreRefused(
                f"the data directory {self._data_dir} is used by process {owner}: stop it or name another"
            )
        _write(lock, f"{os.getpid()}\n")
        self._owner_lock = lock

    async def _launch(self, program: str) -> None:
        with (self._dir / "server.lock").open("a+") as lock:
            await self._wait_for_orphan(lock)
            self._place_socket()
            _write(lock, f"{self._socket}\n")
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own program; only the waiting is long
                ["/bin/sh", "-c", _LAUNCH, "sh", program, *self._options()],
                stdin=subprocess.PIPE,
                stdout=lock,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.defpath, "LC_ALL": "C"},  # no credentials of ours
                umask=0o077,
                start_new_session=True,  # an interrupt from the terminal is for us; we stop the server last
                text=True,
            )

    async def _wait_for_orphan(self, lock: IO[str]) -> None:
        """Wait until no server of a killed owner runs on the data; ask it to stop, should one still run."""
        deadline = monotonic() + ORPHAN_TIMEOUT_S
        while not _locked(lock):
            lock.seek(0)
            path = lock.read().strip()
            if monotonic() > deadline:
                raise StoreRefused(
                    f"a store server of an earlier run still uses {self._dir} and does not stop: "
                    f"end the process that listens on {path}"
                )
            await _ask_to_stop(path)
            await asyncio.sleep(_POLL_S)

    def _place_socket(self) -> None:
        if (
            self._socket_dir is None
            and len(os.fsencode(self._socket.absolute())) > _LONGEST_SOCKET_PATH_BYTES
        ):
            self._socket_dir = Path(tempfile.mkdtemp(prefix="costsvc-"))
            self._socket = self._socket_dir / "valkey.sock"
        self._socket = self._socket.absolute()
        self._socket.unlink(missing_ok=True)

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "600",
            "dir": str(self._dir.absolute()),
            "logfile": str(self._log.absolute()),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory": "0",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    @property
    def _log(self) -> Path:
        return self._dir / "server.log"

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(self._start_timeout_s):
                while not await _answers(self.url):
                    self._check_running()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise StoreRefused(
                f"the store server did not answer within {self._start_timeout_s:g} s: see {self._log}"
            ) from None

    def _check_running(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise StoreRefused(f"the store server ended at its start: {_last_line(self._log)} ({self._log})")


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(file: IO[str], text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()


async def _answers(url: str) -> bool:
    client = open_store(url)
    try:
        async with translated():
            await ask(client, "PING")
    except StoreUnavailable:
        return False
    finally:
        await client.aclose()
    return True


async def _ask_to_stop(path: str) -> None:
    client = open_store(f"unix://{path}")
    try:
        with suppress(StoreUnavailable):
            async with translated():
                await ask(client, "SHUTDOWN", "NOSAVE")
    finally:
        await client.aclose()


def _end(process: subprocess.Popen[str]) -> None:
    """Stop the server, then dismiss its watcher; in this order, so that it is watched to the end."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _dismiss(process)


def _dismiss(process: subprocess.Popen[str]) -> None:
    """Let the watcher of a server that has ended go, before it ends whoever gets the same process id."""
    assert process.stdin is not None
    if process.stdin.closed:
        return
    with suppress(BrokenPipeError):
        process.stdin.write("farewell\n")
        process.stdin.close()


def _last_line(log: Path) -> str:
    """Return the server's last words, which say what is wrong."""
    try:
        lines = log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").split("\n")
    except OSError:
        return "no log"
    return next((line.strip() for line in reversed(lines) if line.strip()), "no log")
