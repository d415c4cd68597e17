"""The only module that configures the compiler: Numba, with a cache folder that depends on every source.

Numba's own cache does not notice a change of a function called from another file. So the folder's
name holds a hash of the sources of every room with compiled code and the versions of Numba and
NumPy: other sources, another folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np

PACKAGE: Final = Path(__file__).resolve().parent.parent
CACHE_ENV: Final = "MMUVIZ_CACHE_DIR"
COMPILED_ROOMS: Final = ("core", "mmu", "workloads", "engine")
"""Rooms whose functions are compiled, or are called from compiled code."""
F = TypeVar("F", bound=Callable[..., Any])


def source_hash(package: Path = PACKAGE) -> str:
    """Hash every Python source of the rooms with compiled code, with the compiler's versions.

    Args:
        package: folder of the package.

    Returns:
        16 hex digits.
    """
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__} {sys.version_info[:2]}".encode())
    for path in sorted(path for room in COMPILED_ROOMS for path in (package / room).rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Return the cache folder of compiled code: in MMUVIZ_CACHE_DIR, the user's cache, or a private temporary one."""
    root = os.environ.get(CACHE_ENV) or os.environ.get("XDG_CACHE_HOME")
    base = Path(root) if root else Path("~/.cache").expanduser()
    if not _writable(base):
        base = private_folder(Path(tempfile.gettempdir()) / f"mmuviz-{os.getuid()}")
    return base / "mmuviz" / f"compiled-{source_hash()}"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def private_folder(folder: Path) -> Path:
    """A folder, in a place where all users may write, that is safe for code to be executed.

    Args:
        folder: created if it does not exist.

    Returns:
        The folder, if it is a real folder of this user that no other user may write to; otherwise a
        new one next to it, with a name that could not be predicted.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
        return folder
    return Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))


# Numba reads this when a function is decorated, so it is set before the first decorator.
setattr(numba.config, "CACHE_DIR", str(cache_folder()))  # noqa: B010  # the module declares no such attribute

OPTIONS: Final[dict[str, bool]] = {
    "cache": True,
    "nogil": True,
    "boundscheck": False,
    "_nrt": False,
    "no_cfunc_wrapper": True,
}
"""No reference counting, as compiled code creates no arrays: it took 60 times a fault's work. No C wrappers: unused."""
_njit: Any = numba.njit  # its declared type does not know _nrt
_types: Any = numba.types  # it has no types


def _for_any_value(dispatcher: Any) -> Any:  # noqa: ANN401  # Numba has no types
    """Compile a function once, not again for each constant that a compiled caller passes.

    Numba gives each such constant a type of its own. Where the value matters, LLVM sees it after inlining.
    """
    if not hasattr(dispatcher, "get_call_template"):  # with NUMBA_DISABLE_JIT it is the plain function
        return dispatcher
    template_of = dispatcher.get_call_template

    def get_call_template(args: Any, kws: Any) -> Any:  # noqa: ANN401  # as above
        plain = {name: _types.unliteral(each) for name, each in kws.items()}
        return template_of(tuple(_types.unliteral(each) for each in args), plain)

    dispatcher.get_call_template = get_call_template
    return dispatcher


def _hidden(function: F, **options: bool | str) -> F:
    """Compile a function for compiled callers only: unpacking the state for Python is a quarter of compiling.

    Without its wrapper a call from Python would crash: the dispatcher must not register compiled overloads.
    """
    dispatcher = _for_any_value(_njit(**OPTIONS, **options, no_cpython_wrapper=True)(function))

    def add_overload(result: Any) -> None:  # noqa: ANN401  # Numba has no types
        dispatcher.overloads[tuple(result.signature.args)] = result

    def refuse(*_: object, **__: object) -> None:
        alone = f"{function.__name__}() is compiled into its callers alone"
        message = f"{alone}; call one of them, or make it jit_inline_exported()"
        raise TypeError(message)

    dispatcher.add_overload = add_overload
    dispatcher._compile_for_args = refuse  # noqa: SLF001  # called by the dispatcher if it has no overload
    return cast("F", dispatcher)


def jit_inline_llvm(function: F) -> F:
    """Compile a small function of the machine into each of its callers.

    A call passes every array of the state; on the path of a fault that costs more than the work.

    Args:
        function: plain Python over NumPy arrays and integers.

    Returns:
        The compiled function, of the same signature; a call from Python raises TypeError.
    """
    return _hidden(function, forceinline=True)


def jit_inline_exported(function: F) -> F:
    """Compile as jit_inline_llvm() does, for a function that Python calls as well.

    Args:
        function: plain Python over NumPy arrays and integers.

    Returns:
        The compiled function, of the same signature.
    """
    return cast("F", _for_any_value(_njit(**OPTIONS, forceinline=True)(function)))


def jit_inline_source(function: F) -> F:
    """Compile a function of the machine as a part of its caller's source.

    For large functions with one caller: jit_inline_llvm() compiles them, and all that they call, for themselves too.

    Args:
        function: plain Python over NumPy arrays and integers.

    Returns:
        The compiled function, of the same signature; a call from Python raises TypeError.
    """
    return _hidden(function, inline="always")


def jit(function: F) -> F:
    """Compile a function of the machine: cached on disk, without the GIL, never in parallel.

    Args:
        function: plain Python over NumPy arrays and integers.

    Returns:
        The compiled function, of the same signature.
    """
    return cast("F", _for_any_value(_njit(**OPTIONS)(function)))
