"""Reductions that users define: their functions in plain Python, window by window.

The states have the types that kernels give them, and are combined in the same order: along the first pooled axis, then
the next; along an axis in binary blocks, largest first, each made of neighbours, the blocks then from the left. Taps
that are missing are the identity. With functions of arithmetic alone the results have the kernels' bits; those of
``math`` are NumPy's here, which may differ in the last place.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastpool import own
from fastpool.problem import Problem
from fastpool.reference.exact import Array, is_exact, missing, working_dtype
from fastpool.reference.geometry import holders, windows

State = tuple[Any, ...]


class _Math(types.ModuleType):
    """``math`` as compiled code has it: a logarithm of 0 is -inf, and not an error."""

    def __getattr__(self, name: str) -> Any:
        other = {"pow": "power", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2"}
        return getattr(np, other.get(name, name), None) or getattr(math, name)


_MATH = _Math("math")


def _in_numpy(function: own.Function) -> own.Function:
    """The same function, its ``math`` replaced; also in those that it calls by name."""
    used = {name: value for name, value in function.__globals__.items() if name in function.__code__.co_names}
    changed: dict[str, Any] = {name: _MATH for name, value in used.items() if value is math}
    for name, value in used.items():
        inner = getattr(value, "py_func", value)
        if isinstance(inner, types.FunctionType) and inner is not function:
            changed[name] = _in_numpy(inner)
    scope = {**function.__globals__, **changed}
    return types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)


class _Definition:
    """A reduction for one problem: its functions on states, which are tuples of NumPy's scalars."""

    def __init__(self, problem: Problem) -> None:
        self.reduction = own.known[problem.op]
        self.parameter = np.float64(problem.norm)
        self.types = [_state_type(word, problem.dtype) for word in self.reduction.state]
        self.functions = {name: _in_numpy(function) for name, function in self.reduction.functions.items()}
        self.identity = self.state(self.reduction.identity)

    def state(self, given: Any) -> State:
        """Numbers as a state."""
        numbers = given if isinstance(given, tuple) else (given,)
        return tuple(_cast(kind, number) for kind, number in zip(self.types, numbers, strict=True))

    def _plain(self, state: State) -> Any:
        return state if len(state) == 2 else state[0]

    def _call(self, name: str, *arguments: Any) -> Any:
        function = self.functions[name]
        return function(*arguments[: own.arity(function)])

    def lift(self, x: Any) -> State:
        """The state of a tap."""
        return self.state(self._call("lift", _cast(self.types[0], x), self.parameter))

    def combine(self, a: State, b: State) -> State:
        """The state of two blocks of taps."""
        return self.state(self._call("combine", self._plain(a), self._plain(b)))

    def _count(self, count: int) -> Any:
        return count if len(self.types) == 2 else _cast(self.types[0], count)

    def lower(self, state: State, count: int) -> Any:
        """The result of a window."""
        return self._call("lower", self._plain(state), self._count(count), self.parameter)

    def pull(self, g: Any, state: State, count: int) -> Any:
        """What a window gives to each of its taps."""
        found = self._call("pull", _cast(self.types[0], g), self._plain(state), self._count(count), self.parameter)
        return _cast(self.types[0], found)

    def push(self, a: Any, x: Any) -> Any:
        """The gradient of an element."""
        if "push" not in self.functions:
            return a
        return self._call("push", a, _cast(self.types[0], x), self.parameter)


def _state_type(word: str, dtype: str) -> np.dtype[Any]:
    if word == "double" or dtype == "f64":
        return np.dtype(np.float64)
    if is_exact(dtype):
        if dtype == "b1":
            return np.dtype(np.uint8)
        return np.dtype(working_dtype(dtype if word == "same" else dtype[0] + "64"))
    return np.dtype(np.float32)


def _cast(kind: np.dtype[Any], number: Any) -> Any:
    """A number in a type, by C's rules: integers wrap, and lose what is behind the point."""
    if kind.kind in "iu" and isinstance(number, int):
        number = number % (1 << 64)
        number = np.uint64(number)
    return np.asarray(number).astype(kind)[()]


def _folded(combine: Callable[[State, State], State], states: list[State]) -> State:
    """One state for the states along an axis, in the order of the kernels."""
    total: State | None = None
    while states:
        size = 1 << (len(states).bit_length() - 1)
        block, states = states[:size], states[size:]
        while len(block) > 1:
            block = [combine(block[i], block[i + 1]) for i in range(0, len(block), 2)]
        total = block[0] if total is None else combine(total, block[0])
    assert total is not None
    return total


def _fold(combine: Callable[[State, State], State], states: list[State], sizes: tuple[int, ...]) -> State:
    """One state for those of a window of these sizes, in row-major order: along the first axis, then the next."""
    for size in sizes:
        rest = len(states) // size
        states = [_folded(combine, states[i::rest]) for i in range(rest)]
    return states[0]


def _states(problem: Problem, made: _Definition, row: Array, absent: Array) -> list[tuple[State, int, int]]:
    """For each window of a plane its state, its divisor and the number of its values."""
    found = []
    for taps in windows(problem):
        states = [made.identity] * problem.taps
        for column, number in zip(taps.columns.tolist(), taps.numbers.tolist(), strict=True):
            if not absent[column]:
                states[number] = made.lift(row[column])
        left_out = int(absent[taps.columns].sum())
        values = taps.columns.size - left_out
        found.append((_fold(made.combine, states, problem.kernel), taps.counted - left_out, values))
    return found


def forward(problem: Problem, planes: Array) -> Array:
    """Results, a row per plane, a column per window."""
    made = _Definition(problem)
    y = np.empty((len(planes), math.prod(problem.outputs)), working_dtype(problem.out_dtype))
    absent = missing(problem.dtype, problem.nan, planes)
    with np.errstate(all="ignore"):
        for row in range(len(planes)):
            for output, (state, count, values) in enumerate(_states(problem, made, planes[row], absent[row])):
                nothing = problem.nan == "ignore" and values == 0
                y[row, output] = math.nan if nothing else _result(problem.dtype, made.lower(state, count))
    return y


def _result(dtype: str, number: Any) -> Any:
    """A result as an element; of bfloat16 rounded to nearest, ties to even."""
    if dtype == "b1":
        return bool(number)
    if dtype != "bf16":
        return _cast(working_dtype(dtype), number)
    bits = int(np.float32(number).view(np.uint32))
    if not math.isfinite(number):
        return np.float32(number)
    return np.uint32((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)


def backward(problem: Problem, dy: Array, planes: Array | None) -> Array:
    """The gradient of a plane: what each window gives, added up per element in the kernels' order."""
    if planes is None:
        raise TypeError(f"reference.backward: {problem}: the gradient of a user's reduction needs x")
    made = _Definition(problem)
    zero = (made.types[0].type(0),)
    dx = np.zeros(planes.shape, working_dtype(problem.dtype))
    absent = missing(problem.dtype, problem.nan, planes)
    held = holders(problem)
    with np.errstate(all="ignore"):
        for row in range(len(planes)):
            shares = []
            for output, (state, count, values) in enumerate(_states(problem, made, planes[row], absent[row])):
                nothing = problem.nan == "ignore" and values == 0
                shares.append(zero[0] if nothing else made.pull(dy[row, output], state, count))
            for column, outputs in enumerate(held):
                if outputs and not absent[row, column]:
                    received = _received(problem, column, shares, zero[0])
                    dx[row, column] = _result(problem.dtype, made.push(received, planes[row, column]))
    return dx


def _received(problem: Problem, column: int, shares: list[Any], zero: Any) -> Any:
    """The sum of the shares of all windows that could hold an element, those that do not giving 0."""
    places = np.unravel_index(column, tuple(window.size for window in problem.windows))
    along = []
    for place, window in zip(places, problem.windows, strict=True):
        taps = np.arange(window.kernel)[::-1]
        origins = int(place) + window.pad_begin - taps * window.dilation
        outputs = origins[origins % window.stride == 0] // window.stride
        along.append([int(o) if 0 <= o < window.output else -1 for o in outputs])
    numbers = [0]
    for outputs, window in zip(along, problem.windows, strict=True):
        numbers = [-1 if n < 0 or o < 0 else n * window.output + o for n in numbers for o in outputs]
    states = [(zero if n < 0 else shares[n],) for n in numbers]
    return _fold(partial(_add), states, tuple(map(len, along)))[0]


def _add(a: State, b: State) -> State:
    return (a[0] + b[0],)
