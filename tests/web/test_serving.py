import errno
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from mmuviz.core.errors import MmuvizError
from mmuviz.core.jit import cache_folder
from mmuviz.web.serving import listen, url_of
from tests.served import Served, clean_environment, serve, stop

SERVE = [sys.executable, "-m", "mmuviz", "serve"]


def test_a_taken_port_is_answered_with_one_line(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = subprocess.run(
            SERVE, cwd=repository, env=clean_environment(PORT=str(port)), capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(rf"mmuviz: port {port} on 127\.0\.0\.1 is taken; .*PORT=\d+.*\n", done.stderr)


def test_a_port_that_needs_privileges_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(MmuvizError, match="port 80 needs privileges; ports from 1024 up do not"):
        listen("127.0.0.1", 80)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7", "a" * 300, "host name"])
def test_a_host_that_is_not_this_machine_is_refused(host: str) -> None:
    with pytest.raises(MmuvizError, match=r"is not an address of this machine; use 127\.0\.0\.1"):
        listen(host, 0)


@pytest.mark.parametrize(
    ("family", "name", "url"),
    [
        (socket.AF_INET, ("127.0.0.1", 8050), "http://127.0.0.1:8050/"),
        (socket.AF_INET, ("192.0.2.7", 80), "http://192.0.2.7:80/"),
        (socket.AF_INET, ("0.0.0.0", 8050), "http://127.0.0.1:8050/"),  # noqa: S104 - nothing is bound here
        (socket.AF_INET6, ("::1", 8050, 0, 0), "http://[::1]:8050/"),
        (socket.AF_INET6, ("::", 8050, 0, 0), "http://[::1]:8050/"),
    ],
)
def test_the_address_is_one_that_a_browser_opens(family: int, name: tuple[str, int], url: str) -> None:
    # A stand-in, since not every machine has the newer family.
    listener = Mock(spec=socket.socket, family=family)
    listener.getsockname.return_value = name
    assert url_of(listener) == url


def children(served: Served) -> list[int]:
    return [
        int(pid) for pid in Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    ]


@pytest.mark.parametrize("command", [SERVE, [sys.executable, "app.py"]], ids=["mmuviz", "app.py"])
def test_it_serves_and_control_c_ends_it_and_its_workers(repository: Path, command: list[str], tmp_path: Path) -> None:
    compiled = str(cache_folder().parent.parent)
    home = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    environment = clean_environment(PORT="0", MMUVIZ_CACHE_DIR=compiled, **home)
    with serve(command, cwd=repository, environment=environment) as served:
        assert served.get("/healthz").status == 200
        workers = children(served)
        assert 1 <= len(workers) <= 2
        # No control socket, and compiled code where it was: a server leaves nothing behind.
        assert [path.name for path in tmp_path.iterdir()] == []
        assert stop(served.process) == 0
        assert [worker for worker in workers if Path(f"/proc/{worker}").exists()] == []


def test_a_polite_stop_is_as_clean(repository: Path) -> None:
    with serve(SERVE, cwd=repository, environment=clean_environment(PORT="0")) as served:
        served.get("/")
        assert stop(served.process, signal.SIGTERM) == 0


def test_the_port_is_free_again_at_once(repository: Path) -> None:
    with serve(SERVE, cwd=repository, environment=clean_environment(PORT="0")) as served:
        served.get("/")
        port = served.url.rstrip("/").rpartition(":")[2]
    with serve(SERVE, cwd=repository, environment=clean_environment(PORT=port)) as again:
        assert again.url == served.url
        assert again.get("/healthz").status == 200


def test_any_wsgi_server_can_serve_the_module(repository: Path) -> None:
    code = "import app; client = app.server.test_client(); print(client.get('/').status_code)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, env=clean_environment(), capture_output=True, check=False
    )
    assert done.stdout == b"200\n"


def test_a_worker_leaves_even_while_it_holds_the_lock_of_its_pool(repository: Path) -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor; from mmuviz.web.serving import _Worker\n"
        "worker = object.__new__(_Worker)\n"
        "worker.tpool = ThreadPoolExecutor(1)\n"
        "worker.tpool._shutdown_lock.acquire()\n"
        "worker.handle_quit(2, None)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=repository, env=clean_environment(), timeout=20, check=True)
