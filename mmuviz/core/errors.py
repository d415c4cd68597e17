"""Errors that users can act on: each message states the value, the rule and the remedy."""

from __future__ import annotations

import errno
import re
import reprlib
from typing import Final

MAX_MESSAGE: Final = 500
"""Most characters of a message; the middle of a longer one is cut out, so that value and remedy remain."""
_LONG_NUMBER: Final = re.compile(r"([0-9]{40})[0-9]+")
_SHORT: Final = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxlong, _SHORT.maxother = 60, 60, 60
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict = 3, 6, 3


def one_line(text: str) -> str:
    """Text as one printable line for a terminal.

    Args:
        text: may contain line breaks, control characters and lone surrogates, as file names do.

    Returns:
        The same with unprintable characters escaped, and numbers of more than 40 digits cut.
    """
    cut = _LONG_NUMBER.sub(r"\1…", text)
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut)


def short_repr(value: object) -> str:
    """Return the `repr` of a value from outside, cut in the middle so that it fits a message.

    Args:
        value: any object, of any size and nesting.

    Returns:
        About 60 characters.
    """
    if type(value) is int and value.bit_length() > 64 * 64:
        return f"a number of {value.bit_length()} bits"
    return _SHORT.repr(value)


class MmuvizError(Exception):
    """Base of every error that mmuviz raises on purpose."""

    def __init__(self, message: str) -> None:
        """Keep the message as one line.

        Args:
            message: value, rule, remedy.
        """
        line = one_line(message)
        if len(line) > MAX_MESSAGE:
            half = MAX_MESSAGE // 2 - 1
            line = f"{line[:half]} … {line[-half:]}"
        super().__init__(line)


class InputError(MmuvizError):
    """A file, an option or an argument that breaks a rule of ours."""


class KvmError(MmuvizError):
    """An ioctl that KVM itself would refuse.

    Attributes:
        errno: the number that the ioctl would set, e.g. `errno.EINVAL`.
    """

    errno: int = errno.EINVAL

    def __init__(self, message: str) -> None:
        """Keep the message, led by the errno's name.

        Args:
            message: value, rule, remedy.
        """
        super().__init__(f"{errno.errorcode[self.errno]}: {message}")


class KvmEinval(KvmError):
    """EINVAL: the arguments break a rule of the ioctl."""


class KvmEnoent(KvmError):
    """ENOENT: the memslot is absent or is not logging."""

    errno = errno.ENOENT


class KvmEexist(KvmError):
    """EEXIST: the memslot overlaps another."""

    errno = errno.EEXIST


class KvmEnxio(KvmError):
    """ENXIO: the VM has no dirty bitmap, since it uses a dirty ring."""

    errno = errno.ENXIO


class KvmE2big(KvmError):
    """E2BIG: more ring entries than KVM allows."""

    errno = errno.E2BIG


class KvmEnomem(KvmError):
    """ENOMEM: there is no memory for the memslot."""

    errno = errno.ENOMEM
