"""Serving the app with gunicorn, started from Python so that it has the same settings however it is started."""

import errno
import http.client
import logging
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker

from mmuviz.core.errors import InputError
from mmuviz.core.jit import cache_folder
from mmuviz.studies.loaded import load_engine
from mmuviz.web.app import create_app

THREADS = 8
MAX_WORKERS = 2
# Longer than the idle limit of common proxies, so that the proxy closes first and never meets a closed connection.
KEEPALIVE_S = 65
GRACEFUL_STOP_S = 5
READY_TIMEOUT_S = 30.0
# A hundred browsers that open the page at once, with six connections each.
BACKLOG = 1024
# Longest wait of a thread for the next part of a request, and for a client to accept the next part of a response.
REQUEST_S = 10
ANSWER_S = 20
# A browser opens connections in advance; the system keeps them this long, and no thread waits for their first byte.
SILENT_S = 30


class CannotListenError(InputError):
    """The address cannot be listened on; the message states value, rule and remedy in one line."""


def serve(host: str, port: int) -> int:
    """Serve until interrupted, and print one line once the workers answer.

    Args:
        host: address or name of an address of this machine.
        port: TCP port; 0 takes a free one.

    Returns:
        The exit status of the server.

    Raises:
        CannotListenError: the address is not this machine's, is taken, or may not be used.
    """
    # The port first: a user learns at once that it is taken, and not after the app was made.
    listener = listen(host, port)
    url = url_of(listener)
    workers = min(MAX_WORKERS, os.cpu_count() or 1)
    if not any(cache_folder().rglob("*.nbi")):
        # Print why the start takes time.
        print("Compiling the simulation, once, for a minute or two", file=sys.stderr, flush=True)  # noqa: T201 - as above
    load_engine()
    try:
        _Server(create_app().server, listener, workers, lambda worker: _announce_last(worker, workers, url)).run()
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    return 0


def listen(host: str, port: int) -> socket.socket:
    """Bind the address, so that a taken port is known before anything else is done.

    Args:
        host: address or name of an address of this machine.
        port: TCP port; 0 takes a free one.

    Returns:
        The bound socket, not yet listening.

    Raises:
        CannotListenError: the address is not this machine's, is taken, or may not be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise CannotListenError(_unknown_host(host)) from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _limit_waiting(listener)
    try:
        listener.bind(address)
        # Two sockets with SO_REUSEADDR may both bind; only one may listen.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListenError(_why_not(error, host, port)) from error
    return listener


def _limit_waiting(listener: socket.socket) -> None:
    """Make the kernel close connections that wait too long; they inherit these settings from the listening socket."""
    for name, seconds in ((socket.SO_RCVTIMEO, REQUEST_S), (socket.SO_SNDTIMEO, ANSWER_S)):
        listener.setsockopt(socket.SOL_SOCKET, name, struct.pack("ll", seconds, 0))
    if hasattr(socket, "TCP_DEFER_ACCEPT"):  # Linux only
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, SILENT_S)


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else port - 1
        return (
            f"port {port} on {host} is taken; a port serves one program: stop the other one,"
            f" or choose another port: make run PORT={other}, or mmuviz serve --port {other}"
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges; ports from 1024 up do not: mmuviz serve --port 8050"
    if error.errno == errno.EADDRNOTAVAIL:
        return _unknown_host(host)
    return f"cannot listen on {host} port {port}: {error.strerror}; try mmuviz serve --host 127.0.0.1 --port 8050"


def _unknown_host(host: str) -> str:
    return (
        f"host {host} is not an address of this machine; use 127.0.0.1 to serve this machine alone,"
        " or 0.0.0.0 to serve the network"
    )


def url_of(listener: socket.socket) -> str:
    """Return the address at which a browser on this machine reaches a socket.

    Args:
        listener: a bound TCP socket.

    Returns:
        The address, with the loopback address in place of the wildcard address.
    """
    host, port = listener.getsockname()[:2]
    if listener.family == socket.AF_INET6:
        host = f"[{'::1' if host == '::' else host}]"
    elif host == "0.0.0.0":  # noqa: S104 - compared with, not bound to
        host = "127.0.0.1"
    return f"http://{host}:{port}/"


def is_news(record: logging.LogRecord) -> bool:
    """Filter gunicorn's log: a timeout of a slow client needs no traceback.

    Args:
        record: a record of the log.

    Returns:
        Whether the record is written.
    """
    return record.exc_info is None or not isinstance(record.exc_info[1], BlockingIOError)


class _Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """A gunicorn worker that always stops at once on SIGINT and SIGQUIT."""

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - gunicorn's signature
        """Exit on Ctrl-C, without a message.

        gunicorn's own handler waits for a lock of the thread pool. If the interrupted code holds it, the worker hangs
        until it is killed.

        Args:
            sig: SIGINT or SIGQUIT.
            frame: the interrupted frame.
        """
        os._exit(0)


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """A gunicorn arbiter of an existing app and an existing socket."""

    def __init__(self, server: Flask, listener: socket.socket, workers: int, on_worker: Callable[[Any], None]) -> None:
        self.server = server
        self.listener = listener
        self.workers = workers
        self.on_worker = on_worker
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's settings; no file and no environment variable is read."""
        settings = {
            "bind": f"fd://{self.listener.detach()}",
            "workers": self.workers,
            "worker_class": _Worker,
            "threads": THREADS,
            "keepalive": KEEPALIVE_S,
            "graceful_timeout": GRACEFUL_STOP_S,
            "loglevel": "warning",
            "proc_name": "mmuviz",
            # The control socket would be one file in the home folder for all servers of a user.
            "control_socket_disable": True,
            # No proxy sets SCRIPT_NAME; a client's header of that name is ignored.
            "forwarder_headers": "",
            "post_worker_init": self.on_worker,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)
        logging.getLogger("gunicorn.error").addFilter(is_news)

    def load(self) -> Flask:
        """Return the app, which was made before the workers were forked and so is ready for their first requests.

        Returns:
            The WSGI application.
        """
        return self.server


def _announce_last(worker: Any, workers: int, url: str) -> None:  # noqa: ANN401 - gunicorn ships no types
    # Only the last of the first workers prints it: a worker that is still starting could miss a signal to stop.
    if worker.age == workers:
        threading.Thread(target=_announce, args=(url,), daemon=True).start()


def _announce(url: str) -> None:
    """Print the address once the server answers there."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if _answers(url):
            print(f"MMUViz is ready: {url}", flush=True)  # noqa: T201 - the one line that a person waits for
            return
        time.sleep(0.02)


def _answers(url: str) -> bool:
    host = url.removeprefix("http://").removesuffix("/")
    # Directly to the socket: a proxy from the environment must not be used.
    connection = http.client.HTTPConnection(host, timeout=READY_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()
