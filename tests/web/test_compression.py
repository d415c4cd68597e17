import gzip
from collections.abc import Iterator

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from mmuviz.web import compression
from mmuviz.web.compression import KEPT_BYTES, StaticCache

FILE = b"one of our files " * 200


class Counted(StaticCache):
    """The cache, counting what it was given to keep."""

    made: list["Counted"] = []  # noqa: RUF012 - the extension makes its own

    def __init__(self) -> None:
        super().__init__()
        self.made.append(self)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FlaskClient, Counted]]:
    monkeypatch.setattr(compression, "StaticCache", Counted)
    server = Flask("test", static_folder=None)
    compression.register(server)

    def sheet(content: bytes, status: int = 200) -> Response:
        return Response(content, status, mimetype="text/css")

    server.add_url_rule("/assets/<name>", "file", lambda name: sheet(FILE if name else b""))
    server.add_url_rule("/assets/part/<name>", "part", lambda name: sheet(FILE[: len(name) + 600], 206))
    server.add_url_rule("/page/<name>", "page", lambda name: sheet(FILE + name.encode()))
    yield server.test_client(), Counted.made[-1]
    Counted.made.clear()


def ask(client: FlaskClient, path: str) -> bytes:
    answer = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    return gzip.decompress(answer.data)


def test_a_file_is_kept_once_whatever_it_is_called(served: tuple[FlaskClient, Counted]) -> None:
    client, cache = served
    for number in range(300):
        assert ask(client, f"/assets/plotly.v1m{number}.min.js") == FILE
    assert len(cache._kept) == 1
    assert ask(client, "/assets/legitimate.css") == FILE


def test_a_part_of_a_file_and_a_page_are_not_kept(served: tuple[FlaskClient, Counted]) -> None:
    client, cache = served
    assert ask(client, "/assets/part/xyz") == FILE[:603]
    assert ask(client, "/page/visitor") == FILE + b"visitor"
    assert cache._kept == {}


def test_an_answer_without_a_digest_is_not_kept() -> None:
    cache = StaticCache()
    cache.set("br;", b"one visitor's answer")
    assert cache.get("br;") is None


def test_the_cache_is_bounded_and_what_is_asked_for_stays() -> None:
    cache = StaticCache()
    piece = b"x" * (KEPT_BYTES // 8)
    cache.set("br;wanted", piece)
    for number in range(50):
        cache.set(f"br;{number}", piece)
        cache.set(f"br;{number}", piece)  # the same file again takes no more room
        assert cache.get("br;wanted") == piece
        assert sum(map(len, cache._kept.values())) <= KEPT_BYTES
    assert cache.get("br;0") is None
    assert cache.get("br;49") == piece


def test_a_file_larger_than_the_cache_is_not_kept() -> None:
    cache = StaticCache()
    cache.set("br;small", b"x")
    cache.set("br;large", b"x" * (KEPT_BYTES + 1))
    assert cache.get("br;large") is None
    assert cache.get("br;small") == b"x"
