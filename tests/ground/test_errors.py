"""Errors: one line, led by the errno's name where KVM gives one."""

from __future__ import annotations

import errno

import pytest

from mmuviz.ground import errors


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
