"""What stands behind the symbols of compiled code where the library does not: the same, by the package's engines.

A twin reads the spec that the library would have read, takes the GIL, and plans and runs through ``dispatch``. It runs
in one thread: whether it was called from a parallel loop cannot be told.
"""

from __future__ import annotations

import _thread
import ctypes
import functools
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastpool import config, dispatch, measuring, own
from fastpool import request as Q
from fastpool.kernels import rows as T
from fastpool.kernels.table import table
from fastpool.memory import Array
from fastpool.njit import record
from fastpool.problem import DTYPES, INDEX_KINDS, OPS, Ints, Problem

FAILED, INTERRUPTED = -1, -2
"""Statuses of a twin in which an exception was raised, which is printed; and in which the user's Ctrl-C arrived."""

OWN, OWN_NUMBERS = 1 << 20, "index_strides"
"""The operation of a user's reduction in a spec; and where its numbers are, which has no indices."""

_SHAPE_OF = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_RUN = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 5, ctypes.c_int)

NUMBERED = (*T.DTYPES, *T.PARTS)
"""Element types by their number in a spec."""


class Twin(NamedTuple):
    """The twins of one binary interface: addresses, and what keeps them alive."""

    shape_of: int
    run: int
    kept: tuple[Any, ...]


def make(abi: int) -> Twin:
    """The twins for code that was compiled for a binary interface."""
    layout = record.RECORDS[abi]
    functions = (_SHAPE_OF(functools.partial(_shape_of, layout)), _RUN(functools.partial(_run, layout)))
    shape_of, run = [ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions]
    return Twin(shape_of, run, functions)


class Spec:
    """A spec in memory, of a layout."""

    def __init__(self, layout: record.Record, address: int) -> None:
        self.layout = layout
        self.block = np.ctypeslib.as_array((ctypes.c_int64 * layout.size).from_address(address))
        self.words = self.block.view(np.int32)

    def word(self, name: str) -> int:
        """One of the words."""
        return int(self.words[self.layout.word(name)])

    def array(self, name: str, count: int) -> Ints:
        """The first entries of an array."""
        at = self.layout.entry(name)
        return tuple(self.block[at : at + count].tolist())

    def strides(self, name: str) -> Ints:
        """Strides where they are given, else ()."""
        given = self.word("strided") >> record.STRIDES.index(name) & 1
        return self.array(name, self.word("rank")) if given else ()

    def _own(self) -> str:
        """The key of a user's reduction."""
        found = own.by_number(*self.array(OWN_NUMBERS, 2))
        if found is None:
            raise RuntimeError("the reduction that code was compiled with is not defined in this process")
        return found.key

    def problem(self) -> Problem:
        """The Problem, whose sizes may not make sense yet."""
        rank, pooled = self.word("rank"), self.word("pooled")
        operation = self.word("operation")
        kind = self.word("indices")
        return Problem(
            op=self._own() if operation == OWN else OPS[operation],
            direction="bwd" if self.word("direction") else "fwd",
            dtype=NUMBERED[self.word("dtype")],
            shape=self.array("shape", rank),
            axes=self.array("axes", pooled),
            kernel=self.array("kernel", pooled),
            stride=self.array("stride", pooled),
            pad_begin=self.array("pad_begin", pooled),
            pad_end=self.array("pad_end", pooled),
            dilation=self.array("dilation", pooled),
            ceil=bool(self.word("ceil_mode")),
            indices=INDEX_KINDS[kind] if kind >= 0 else "",
            include_pad=bool(self.word("include_pad")),
            divisor=int(self.block[self.layout.divisor]),
            norm=float(self.block.view(np.float64)[self.layout.norm]),
            nan="ignore" if self.word("skip_nan") else "propagate",
            x_strides=self.strides("x_strides"),
            y_strides=self.strides("y_strides"),
            index_strides=self.strides("index_strides"),
            aux_strides=self.strides("input_strides"),
        )


def _measured(problem: Problem) -> tuple[int, Ints]:
    """The status of a problem, and the shape of its result."""
    if min(*problem.kernel, *problem.stride, *problem.dilation) < 1 or min(*problem.pad_begin, *problem.pad_end) < 0:
        return measuring.INVALID_WINDOW, ()
    if own.is_own(problem.op):
        # the sizes of a result do not depend on the operation
        problem = problem._replace(op="max")
    request = Q.request_of(problem, table())
    status = measuring.measure(request)
    first = Q.REQUEST + Q.Y_SIZE
    last = Q.REQUEST + len(problem.shape) * Q.AXIS_SIZE
    return status, tuple(request[first : last : Q.AXIS_SIZE])


def _guarded(layout: record.Record, address: int, work: Callable[[Spec], int]) -> int:
    """What ``work`` returns, or what an exception comes to: there is no caller in Python to raise it in.

    Python also handles signals here, for compiled code that runs has no other place for it. An interrupt outside of the
    ``try`` leaves a status that means nothing; so the end is marked in the spec.
    """
    status = INTERRUPTED
    try:
        spec = Spec(layout, address)
        try:
            status = work(spec)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            status = FAILED
        spec.words[layout.word(record.MARK)] = 1
    except KeyboardInterrupt:
        # once more when Python runs again, for compiled code cannot raise it
        threading.Timer(0.01, _thread.interrupt_main).start()
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    return status


def _shape_of(layout: record.Record, address: int, shape: int) -> int:
    def work(spec: Spec) -> int:
        status, sizes = _measured(spec.problem())
        if status == measuring.OK:
            (ctypes.c_int64 * len(sizes)).from_address(shape)[:] = list(sizes)
        return status

    return _guarded(layout, address, work)


class _Place:
    """Memory that is to be an array."""

    def __init__(self, place: dict[str, Any]) -> None:
        self.__array_interface__ = place


def _array(address: int | None, dtype: str, shape: Ints, strides: Ints) -> Array | None:
    """The array at an address, which may be none."""
    if not address:
        return None
    kind = np.dtype("uint16" if dtype == "bf16" else DTYPES[dtype])
    steps = strides or Q.c_order(shape)
    place = {
        "data": (address, False),
        "shape": shape,
        "strides": tuple(step * kind.itemsize for step in steps),
        "typestr": kind.str,
        "version": 3,
    }
    return np.asarray(_Place(place))


def _run(
    layout: record.Record,
    address: int,
    x: int | None,
    dy: int | None,
    indices: int | None,
    result: int | None,
    threads: int,
) -> int:
    def work(spec: Spec) -> int:
        problem = spec.problem()
        status, shape = _measured(problem)
        if status != measuring.OK or 0 in shape:
            return status
        index = _array(indices, problem.index_dtype, shape, problem.index_strides)
        with config.threads(1):
            if problem.direction == "fwd":
                source = _array(x, problem.dtype, problem.shape, problem.x_strides)
                y = _array(result, problem.out_dtype, shape, problem.y_strides)
                dispatch.forward(problem, source, y, index, inside=True)  # type: ignore[arg-type]
                return measuring.OK
            source = _array(x, problem.dtype, problem.shape, problem.aux_strides)
            grad = _array(dy, problem.out_dtype, shape, problem.y_strides)
            dx = _array(result, problem.dtype, problem.shape, problem.x_strides)
            wrong = dispatch.backward(problem, grad, dx, source, index, inside=True)  # type: ignore[arg-type]
            return measuring.INVALID_INDICES if wrong else measuring.OK

    return _guarded(layout, address, work)
