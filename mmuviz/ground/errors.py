"""Errors that people can act on: each states the value, the rule and the remedy."""

from __future__ import annotations

import errno


class MmuvizError(Exception):
    """Base of every error that mmuviz raises on purpose."""


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
