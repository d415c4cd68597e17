"""Slow, silent and odd clients: whoever asks quickly is answered quickly, whatever the others do."""

import signal
import socket
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mmuviz.web import clients
from mmuviz.web.clients import ClientSocket, is_here
from mmuviz.web.serving import MAX_WORKERS, THREADS
from tests.served import Served, clean_environment, serve, stop

POST = b"POST /_dash-update-component HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
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


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        POST + b"Content-Length: 100\r\n\r\n{",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",  # answered, and never closed by the client
    ],
    ids=["nothing", "one byte", "half a header", "half a body", "never closed"],
)
def test_slow_clients_hold_up_nobody(server: Served, begin: bytes) -> None:
    slow = [connection(server) for _ in range(MORE_THAN_THREADS)]
    try:
        for client in slow:
            client.sendall(begin)
        time.sleep(0.5)
        for _ in range(4):
            before = time.monotonic()
            assert server.get("/healthz").status == 200
            assert time.monotonic() - before < 3
    finally:
        for client in slow:
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
    ids=["bad chunk", "good chunk", "cut short", "too long", "a proxy's word", "many headers"],
)
def test_an_odd_request_is_a_line_and_no_traceback(server: Served, request_bytes: bytes, status: bytes) -> None:
    said = answer(server, request_bytes)
    assert said.split(b" ", 2)[1] == status
    assert b"Traceback" not in said


def test_a_request_must_come_to_an_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "REQUEST_S", 0.2)
    here, there = socket.socketpair()
    with there, ClientSocket(here.detach()) as client:
        before = time.monotonic()
        there.sendall(b"some")
        assert client.recv(100) == b"some"
        there.sendall(b" more")
        assert client.recv(100) == b" more"
        with pytest.raises(ConnectionResetError):
            client.recv(100)
        assert time.monotonic() - before < 2
        client.next_request()
        there.sendall(b"more")
        assert client.recv(100) == b"more"


def test_an_answer_must_be_taken_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "ANSWER_S", 1)
    here, there = socket.socketpair()
    with there, ClientSocket(here.detach()) as client, pytest.raises(ConnectionResetError):
        client.sendall(b"x" * (64 << 20))


@pytest.mark.parametrize(
    ("held", "here"),
    [
        (b"", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\ncontent-LENGTH:  3\r\n\r\nab", False),
        (b"POST / HTTP/1.1\r\ncontent-LENGTH:  3\r\n\r\nabc", True),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", True),
        (b"x" * clients.HELD_BYTES, True),
    ],
)
def test_when_a_request_is_here(held: bytes, here: bool) -> None:  # noqa: FBT001 - parametrized
    assert is_here(held) is here


def test_it_stops_at_once_with_silent_clients(repository: Path) -> None:
    command = [sys.executable, "-m", "mmuviz", "serve"]
    with serve(command, cwd=repository, environment=clean_environment(PORT="0")) as served:
        slow = [connection(served) for _ in range(3)]
        slow[0].sendall(b"G")
        served.get("/healthz")
        assert stop(served.process, signal.SIGINT) == 0
        for client in slow:
            client.close()
