import pytest
from flask import Flask, request

from mmuviz.web.compression import StaticCache, cache_key


@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("GET", "/_dash-component-suites/dash/deps/react.js?v=1", "/_dash-component-suites/dash/deps/react.js"),
        ("GET", "/assets/layout.css?m=1", "/assets/layout.css"),
        ("GET", "/_dash-layout", ""),
        ("GET", "/", ""),
        ("POST", "/_dash-update-component", ""),
        ("POST", "/_dash-component-suites/dash/deps/react.js", ""),
    ],
)
def test_only_files_have_a_key(method: str, path: str, key: str) -> None:
    with Flask("test").test_request_context(path, method=method):
        assert cache_key(request) == key


def test_an_answer_without_a_key_is_not_kept() -> None:
    cache = StaticCache()
    cache.set("br;", b"one visitor's answer")
    assert cache.get("br;") is None


def test_the_cache_is_bounded() -> None:
    cache = StaticCache()
    for number in range(10_000):
        cache.set(f"br;/{number}", b"x")
    assert cache.get("br;/0") == b"x"
    assert cache.get("br;/9999") is None
