"""Keeps slow clients from holding the threads: a request gets one once it is there, and has to go on coming."""

from __future__ import annotations

import errno
import re
import select
import selectors
import socket
import struct
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.workers.gthread import ThreadWorker

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

# From a request's first byte to its last: a request of ours is a few kilobytes, and one packet.
REQUEST_S = 10.0
# A client that takes nothing of an answer for so long is gone.
ANSWER_S = 20
# After the answer, for the last bytes on their way; whoever closes first hears no error.
LINGER_S = 0.2
# As much of a request is waited for without a thread; the system keeps it meanwhile.
HELD_BYTES = 32 << 10
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:", re.IGNORECASE)


def is_here(held: bytes) -> bool:
    """Whether a thread may take a request: it is there to its end, or the rest must be asked for or read in pieces.

    Args:
        held: what the client has sent so far.

    Returns:
        Whether nothing is left to wait for.
    """
    if len(held) >= HELD_BYTES:
        return True
    head, end, body = held.partition(b"\r\n\r\n")
    if not end:
        return False
    head += b"\r\n"
    length = _LENGTH.search(head)
    return length is None or _EXPECTS.search(head) is not None or len(body) >= int(length[1])


class ClientSocket(socket.socket):
    """A client's connection, whose requests have a deadline.

    Attributes:
        deadline: when the request must have been read (time.monotonic()); None before its first byte.
        held_bytes: how much of it was there at the last look; -1 before the first.
    """

    def __init__(self, fileno: int) -> None:
        """Take a connection over.

        Args:
            fileno: of a socket that was detached.
        """
        super().__init__(fileno=fileno)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", ANSWER_S, 0))
        self.next_request()

    def next_request(self) -> None:
        """Forget the request before."""
        self.deadline: float | None = None
        self.held_bytes = -1

    def look(self) -> bytes | None:
        """Look at what is there, and leave it there.

        Returns:
            The bytes; None when no more will come, or the connection is broken.
        """
        try:
            held = super().recv(HELD_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            held = b""
            ended = False
        except OSError:
            return None
        else:
            ended = len(held) <= max(self.held_bytes, 0)  # woken up, and nothing new: the client has closed
        self.held_bytes = len(held)
        if held and self.deadline is None:
            self.deadline = time.monotonic() + REQUEST_S
        return None if ended else held

    def wake_at(self, more_than: int) -> None:
        """Count as readable only with more bytes than these, or at the end.

        Args:
            more_than: bytes that need no second look.
        """
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, more_than + 1)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Read, until the deadline at the latest.

        Args:
            bufsize: the most bytes wanted.
            flags: as of socket.socket.recv().

        Returns:
            The bytes, none at the end.

        Raises:
            ConnectionResetError: the request took too long.
        """
        if self.deadline is None:
            self.deadline = time.monotonic() + REQUEST_S
        left = self.deadline - time.monotonic()
        limit = self.gettimeout()
        waiting = select.poll()
        waiting.register(self, select.POLLIN)
        if not waiting.poll(max(0.0, left if limit is None else min(left, limit)) * 1000):
            raise ConnectionResetError(errno.ECONNRESET, f"nothing more came in {REQUEST_S:.0f} s")
        return super().recv(bufsize, flags)

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Send all of it, as long as the client takes some.

        Args:
            data: the bytes.
            flags: as of socket.socket.sendall().

        Raises:
            ConnectionResetError: the client took nothing for a while.
        """
        try:
            super().sendall(data, flags)
        except BlockingIOError as error:
            raise ConnectionResetError(errno.ECONNRESET, f"nothing was taken in {ANSWER_S} s") from error


class PatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """A gthread worker whose threads get requests that are there, and nothing to wait for."""

    def enqueue_req(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn ships no types
        """Give a connection with a request to a thread; one without goes back to the poller.

        Args:
            conn: gunicorn's connection; it is new, or was idle, or has sent more.
        """
        if not isinstance(conn.sock, ClientSocket):
            conn.sock = ClientSocket(conn.sock.detach())
        client = conn.sock
        read_ahead = conn.parser is not None and conn.parser.unreader.buf.getvalue()
        held = None if read_ahead else client.look()
        if held is None or is_here(held):
            client.wake_at(0)
            conn.data_ready = True
            super().enqueue_req(conn)
            return
        client.settimeout(0)
        client.wake_at(len(held))
        conn.timeout = client.deadline or time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def finish_request(self, conn: Any, fs: Any) -> None:  # noqa: ANN401 - the same
        """Go on with a connection whose request was answered.

        Args:
            conn: gunicorn's connection.
            fs: what became of the request.
        """
        client = conn.sock
        client.next_request()
        if not fs.cancelled() and fs.exception() is None and fs.result():
            super().finish_request(conn, fs)
            return
        self.nr_conns -= 1
        # gunicorn would wait for the client here, in the one thread that accepts all others.
        client.deadline = time.monotonic() + LINGER_S
        self.tpool.submit(conn.close, graceful=True)

    def murder_pending(self) -> None:
        """Close the connections whose request did not come in time; they stand in no order of time."""
        now = time.monotonic()
        for conn in [each for each in self.pending_conns if each.timeout <= now]:
            self.pending_conns.remove(conn)
            self.poller.unregister(conn.sock)
            self.nr_conns -= 1
            conn.close()
