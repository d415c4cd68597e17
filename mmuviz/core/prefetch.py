"""A hint to the processor: prefetch of memory that will be needed soon.

A guest that writes at random accesses an uncached line for nearly every page. One fault is longer than a
core's own lookahead, so without a hint the core waits for memory once per fault.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir  # type: ignore[import-untyped]  # it ships no types
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LLVM_NAME = "llvm.prefetch.p0"
FOR_WRITING = 1
OTHER_CACHES_TOO = 1
DATA = 1


def _emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - Numba ships no types
    """Emit llvm.prefetch of the entry's address; LLVM's language reference names the operands."""
    kind = signature.args[0]
    array = context.make_array(kind)(context, builder, arguments[0])
    address: Any = cgutils.get_item_pointer
    at = address(context, builder, kind, array, [arguments[1]], wraparound=False, boundscheck=False)
    pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    takes: Any = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
    hint = builder.module.globals.get(LLVM_NAME) or ir.Function(builder.module, takes, LLVM_NAME)
    operands = [number(FOR_WRITING), number(OTHER_CACHES_TOO), number(DATA)]
    builder.call(hint, [builder.bitcast(at, pointer), *operands])
    return context.get_dummy_value()


def _prefetch(_typing: Any, array: Any, index: Any) -> Any:  # noqa: ANN401 - as above
    return types.void(array, index), _emit


def is_switched_off() -> bool:
    """Whether compilation is switched off in Numba."""
    settings: Any = numba.config  # the module declares no such attribute
    return bool(settings.DISABLE_JIT)


def _nothing(_array: Any, _index: int) -> None:  # noqa: ANN401 - as above
    """Do nothing: the stand-in without compilation."""


prefetch: Any = _nothing if is_switched_off() else intrinsic(_prefetch)
"""``prefetch(array, index)`` in compiled code: an entry will be written soon. Any index is harmless."""
