"""Silent, slow and odd clients: they cost a thread for a while at most, and never a traceback."""

import logging
import signal
import socket
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mmuviz.web import serving
from mmuviz.web.serving import MAX_WORKERS, REQUEST_S, THREADS, is_news, listen
from tests.served import Served, clean_environment, serve, stop

POST = b"POST /api/runs HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
MORE_THAN_THREADS = 3 * MAX_WORKERS * THREADS


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Served]:
    command = [sys.executable, "-m", "mmuviz", "serve"]
    with serve(command, cwd=repository, environment=clean_environment(PORT="0")) as served:
        yield served


def connection(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(served.url).port or 0), timeout=30)


def answer(served: Served, request: bytes) -> bytes:
    with connection(served) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_silent_clients_hold_up_nobody(server: Served) -> None:
    """As browsers make them, in advance."""
    silent = [connection(server) for _ in range(MORE_THAN_THREADS)]
    try:
        for _ in range(4):
            before = time.monotonic()
            assert server.get("/healthz").status == 200
            assert time.monotonic() - before < 3
    finally:
        for client in silent:
            client.close()


def test_clients_that_stop_in_the_middle_hold_a_thread_for_a_while(server: Served) -> None:
    begun = [connection(server) for _ in range(MAX_WORKERS * THREADS)]
    try:
        for index, client in enumerate(begun):
            client.sendall(POST + b"Content-Length: 100\r\n\r\n{" if index % 2 else b"GET / HTTP/1.1\r\nHost: a\r\n")
        before = time.monotonic()
        assert server.get("/healthz").status == 200
        assert time.monotonic() - before < 3 * REQUEST_S
    finally:
        for client in begun:
            client.close()


def test_a_request_that_comes_in_pieces_is_answered(server: Served) -> None:
    body = b'{"output": 1}'
    request = POST + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
    with connection(server) as client:
        for at in range(0, len(request), 20):
            client.sendall(request[at : at + 20])
            time.sleep(0.02)
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


def test_requests_one_after_the_other_and_at_once_are_answered(server: Served) -> None:
    again = HTTPConnection("127.0.0.1", urlsplit(server.url).port, timeout=30)
    for _ in range(3):
        again.request("GET", "/healthz")
        assert again.getresponse().read().startswith(b"{")
        time.sleep(0.1)
    again.close()
    one = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
    with connection(server) as client:
        client.sendall((one + b"\r\n") * 2 + one + b"Connection: close\r\n\r\n")
        assert b"".join(iter(lambda: client.recv(65536), b"")).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n0\r\n\r\n", b"400"),
        (POST + b"Content-Length: 100\r\n\r\n{", b"400"),
        (POST + b"Content-Length: 9000000\r\n\r\n{", b"413"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nSCRIPT_NAME: /x\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 9000 + b"\r\n", b"431"),
    ],
    ids=["bad chunk", "good chunk", "cut short", "too long", "text of a proxy", "many headers"],
)
def test_an_odd_request_is_a_line_and_no_traceback(server: Served, request_bytes: bytes, status: bytes) -> None:
    said = answer(server, request_bytes)
    assert said.split(b" ", 2)[1] == status
    assert b"Traceback" not in said


@pytest.mark.parametrize(("error", "lines"), [(BlockingIOError(), 0), (ValueError(), 1)])
def test_a_client_that_was_waited_for_is_no_news(
    caplog: pytest.LogCaptureFixture, error: Exception, lines: int
) -> None:
    logger = logging.getLogger("gunicorn.test")
    logger.addFilter(is_news)
    try:
        raise error
    except (BlockingIOError, ValueError):
        logger.exception("Socket error processing request.")
    assert len(caplog.records) == lines


def accepted(monkeypatch: pytest.MonkeyPatch, **seconds: int) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection, the server's and the client's."""
    for name, value in seconds.items():
        monkeypatch.setattr(serving, name, value)
    with listen("127.0.0.1", 0) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=30)
        client.sendall(b"some")
        return listener.accept()[0], client


def test_the_next_piece_of_a_request_must_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = accepted(monkeypatch, REQUEST_S=1)
    with here, there:
        assert here.recv(100) == b"some"
        before = time.monotonic()
        with pytest.raises(BlockingIOError):
            here.recv(100)
        assert time.monotonic() - before > 0.5


def test_an_answer_must_be_taken_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = accepted(monkeypatch, ANSWER_S=1)
    with here, there, pytest.raises(BlockingIOError):
        here.sendall(b"x" * (64 << 20))


def test_it_stops_at_once_with_silent_clients(repository: Path) -> None:
    command = [sys.executable, "-m", "mmuviz", "serve"]
    with serve(command, cwd=repository, environment=clean_environment(PORT="0")) as served:
        slow = [connection(served) for _ in range(3)]
        slow[0].sendall(b"G")
        served.get("/healthz")
        assert stop(served.process, signal.SIGINT) == 0
        for client in slow:
            client.close()
