"""Errors: one line, led by the errno's name where KVM gives one."""

from __future__ import annotations

import errno

import pytest

from mmuviz.core import errors


@pytest.mark.parametrize(
    ("kind", "number", "name"),
    [
        (errors.KvmEinval, errno.EINVAL, "EINVAL"),
        (errors.KvmEnoent, errno.ENOENT, "ENOENT"),
        (errors.KvmEexist, errno.EEXIST, "EEXIST"),
        (errors.KvmEnxio, errno.ENXIO, "ENXIO"),
        (errors.KvmE2big, errno.E2BIG, "E2BIG"),
        (errors.KvmEnomem, errno.ENOMEM, "ENOMEM"),
    ],
)
def test_an_errno_leads_the_line(kind: type[errors.KvmError], number: int, name: str) -> None:
    error = kind("value=1 must be 2")
    assert error.errno == number
    assert str(error) == f"{name}: value=1 must be 2"
    assert isinstance(error, errors.MmuvizError)
    assert not isinstance(error, errors.InputError)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain “text” of 日本", "plain “text” of 日本"),
        ("two\nlines\r\x1b[2J", "two\\nlines\\r\\x1b[2J"),
        ("\u2028\u202e\udcff", "\\u2028\\u202e\\udcff"),
        ("n=" + "9" * 4300 + " must", "n=" + "9" * 40 + "… must"),
    ],
)
def test_a_message_is_one_line(text: str, line: str) -> None:
    assert errors.one_line(text) == line
    assert str(errors.InputError(text)) == line
    line.encode()


def test_a_long_message_keeps_its_value_and_its_remedy() -> None:
    message = str(errors.KvmEinval("value " + "x " * 3000 + "; do that"))
    assert len(message) <= errors.MAX_MESSAGE + 1
    assert message.startswith("EINVAL: value x")
    assert message.endswith("; do that")


@pytest.mark.parametrize(
    "value",
    [10**5000, "x" * 5000, list(range(10**5)), {"a": "b" * 5000}, 1.5, None],
    ids=lambda value: type(value).__name__,
)
def test_any_value_has_a_short_text(value: object) -> None:
    assert len(errors.short_repr(value)) < 160


def test_a_deep_value_is_shown() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert errors.short_repr(deep) == "[[[[...]]]]"
