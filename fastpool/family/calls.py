"""The way of a call of the family: arrays in, checked; results out, of the caller's kind.

Everything that can be refused is refused before a program runs, so that nothing is written by a call that fails.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastpool import arguments, arrays
from fastpool.arguments import Operation, Options
from fastpool.arrays import Kind, Outline, Source
from fastpool.axes import pooled_axes
from fastpool.errors import axes_text, shown, type_error, type_name, value_error
from fastpool.functional._planned import Target
from fastpool.memory import Array, empty_in_order, memory_order
from fastpool.problem import DTYPES, Ints, Problem
from fastpool.window import LIMIT

if TYPE_CHECKING:
    from fastpool.cuda.place import Place

FLOATS = ("f16", "bf16", "f32", "f64")
REALS = ("f32", "f64")
NUMBERS = (*FLOATS, "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")


class Call:
    """One call of a public function: the arrays that came in, and those that go out.

    Parameters
    ----------
    called : str
        Name of the function, for errors.
    device : object
        As the caller wrote it. The family runs on the CPU; another device is an error that says so.
    gpu : bool
        Whether arrays on a GPU are taken, too, and pooled there. None are moved.
    """

    def __init__(self, called: str, device: object = None, gpu: bool = False) -> None:
        self.called = called
        self._gpu = gpu
        self.inputs: dict[str, Array] = {}
        self.targets: list[Target] = []
        self._kind: Kind | None = None
        self._device = arguments.device(called, device)
        if self._device not in ("", "cpu") and not gpu:
            raise self.value_error(f"device={device!r}", "it runs on the CPU alone", "leave device out, copy x there")

    def value_error(self, given: str, rule: str, way_out: str = "") -> ValueError:
        """A ValueError of this call."""
        return value_error(self.called, given, rule, way_out)

    def type_error(self, given: str, rule: str, way_out: str = "") -> TypeError:
        """A TypeError of this call."""
        return type_error(self.called, given, rule, way_out)

    def take(self, name: str, x: object, dtypes: tuple[str, ...] = FLOATS) -> Source:
        """Look at an array that came in; it must be of one of the element types, and of the kind of the first."""
        if self._kind is None:
            source = arrays.take(self.called, name, x)
            self._kind = source.kind
        else:
            source = arrays.take_same(self.called, name, x, self._kind)
        if source.kind.device is not None or self._device not in ("", "cpu"):
            self._check_place(name, source)
        self._check_dtype(name, source.dtype, dtypes)
        self.inputs[name] = source.data
        return source

    def _check_place(self, name: str, source: Source) -> None:
        """Refuse an array on a GPU where this cannot be pooled, and one that is not where ``device`` says."""
        number, given = source.kind.device, f"{name} on {source.kind.where}"
        if number is not None and not self._gpu:
            raise self.value_error(given, "it runs on the CPU alone", "copy it there first")
        here = ("", "cpu") if number is None else ("", "cuda", f"cuda:{number}")
        if self._device not in here:
            rule = "it runs where its arrays are, and moves none"
            raise self.value_error(f"device={self._device!r} and {given}", rule, "leave device out, or copy it first")
        if number is None:
            return
        from fastpool.cuda import devices

        devices.check(self.called, given, number)
        if source.dtype == "bf16" and devices.capability(number) < devices.BFLOAT_CAPABILITY:
            rule = f"bfloat16 needs compute capability 8.0, and device {number} has less"
            raise self.type_error(f"{name} of dtype bfloat16", rule, "convert it first")

    def place(self) -> Place | None:
        """Where on a GPU the call is queued, or None on the CPU. An array has been taken."""
        assert self._kind is not None
        return self._kind.place()

    def take_beside(self, name: str, x: object, dtypes: tuple[str, ...]) -> Source:
        """Look at an array that says where, not what: of NumPy, or of the kind of the others."""
        if not isinstance(x, np.ndarray):
            return self.take(name, x, dtypes)
        source = arrays.take(self.called, name, x)
        self._check_dtype(name, source.dtype, dtypes)
        self.inputs[name] = source.data
        return source

    def _check_dtype(self, name: str, dtype: str, dtypes: tuple[str, ...]) -> None:
        if dtype not in dtypes:
            known = ", ".join(DTYPES[each] for each in dtypes)
            raise self.type_error(f"{name} of dtype {DTYPES[dtype]}", f"it takes {known}", "convert it first")

    def take_like(self, name: str, x: object, shape: Ints, dtype: str, of: str) -> Source:
        """Look at an array that must have that shape and element type; ``of`` says whose they are."""
        source = self.take(name, x, (dtype,))
        self.check_shape(name, source.data, shape, of)
        return source

    def shape_of(self, name: str, x: object) -> Ints:
        """The shape of an array, or a shape as a tuple of sizes."""
        if isinstance(x, tuple):
            return arguments.shape_of(self.called, name, x)
        shape: Ints = self.take(name, x, tuple(DTYPES)).data.shape
        return shape

    def check_shape(self, name: str, data: Array, shape: Ints, of: str) -> None:
        """Refuse an array of another shape; ``of`` says whose it is."""
        if data.shape != shape:
            way_out = "give the forward's own arguments"
            raise self.value_error(f"{name} of shape {data.shape}", f"it must have {of}, {shape}", way_out)

    def windows(self, dtype: str, shape: Ints, options: Options, place: int | str, op: str = "max") -> Problem:
        """The windows of a call, as the problem of pooling x by ``op``; ``place`` is as in ``arguments.Operation``."""
        return arguments.problem(self.called, "fwd", dtype, shape, options._replace(pooled=Operation(op, place)))

    def axes(self, layout: object, spatial: int | str, shape: Ints) -> Ints:
        """The spatial axes that a layout names: so many, or ``"global"``; none of them may be empty."""
        found = pooled_axes(self.called, spatial, layout, None, None, len(shape))
        for axis in found:
            if shape[axis] == 0:
                raise self.value_error(f"axis {axis} of size 0", "a pooled axis must have an element at least")
        return found

    def sizes(self, name: str, value: object, count: int, least: int = 1) -> Ints:
        """One integer for each spatial axis, from one or from a tuple."""
        if type(value) is int and least <= value <= LIMIT:
            return (value,) * count
        given = f"{name}={shown(value)}"
        entries = tuple(value) if isinstance(value, tuple | list) else (value,) * count
        if len(entries) != count:
            rule = f"{len(entries)} entries for {axes_text(count)}"
            raise self.value_error(given, rule, "give an int, or a tuple with one int per spatial axis")
        return tuple(self.integer(name, entry, least, given) for entry in entries)

    def padding(self, value: object, count: int) -> tuple[Ints, Ints]:
        """Begin and end of the padding for each spatial axis, from one integer, one for each axis, or pairs."""
        return arguments.padding(self.called, value, count)

    def integer(self, name: str, value: object, least: int = 1, given: str = "") -> int:
        """An integer, neither bool nor float, between ``least`` and ``2**63 - 1``."""
        given = given or f"{name}={shown(value)}"
        if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
            raise self.type_error(given, f"must be an integer, not {type_name(value)}", "convert it with int()")
        number = int(value.__index__())
        if not least <= number <= LIMIT:
            raise self.value_error(given, f"must be at least {least} and at most 2**63 - 1")
        return number

    def number(self, name: str, value: object, least: float = -math.inf, most: float = math.inf) -> float:
        """A finite number in that range."""
        given = f"{name}={shown(value)}"
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise self.type_error(given, f"must be a number, not {type_name(value)}")
        found = float(value)
        if not math.isfinite(found) or not least <= found <= most:
            raise self.value_error(given, f"must be a finite number from {least} to {most}")
        return found

    def check_size(self, shape: Ints) -> None:
        """Refuse a result that no memory could hold."""
        if math.prod(shape) * 16 > LIMIT and 0 not in shape:
            raise self.value_error(f"a result of shape {shape}", "its size passes 2**63 - 1 bytes", "ask for less")

    def result(
        self, name: str, shape: Ints, dtype: str, out: object = None, like: Array | None = None, ahead: int = 0
    ) -> Target:
        """A result of that shape and element type: the caller's array ``out``, or one that is made.

        ``like`` is the array whose order of axes in memory a new one has, if it is dense and has the same rank; but
        for ``ahead`` axes that the result has in front.
        """
        assert self._kind is not None
        self.check_size(shape)
        order = memory_order(like) if like is not None and like.ndim + ahead == len(shape) else ()
        order = (*range(ahead), *[axis + ahead for axis in order]) if order else ()
        target = Target.checked(self.called, name, Outline(self._kind, dtype, shape, order), out)
        others = {f"result {i}": known.data for i, known in enumerate(self.targets) if known.given is not None}
        target.refuse_overlap(self.called, name, {**self.inputs, **others})
        self.targets.append(target)
        return target

    def scratch(self, shape: Ints, dtype: str, like: Array) -> Array:
        """An array for the call itself, in storage form; ``like`` is as for a result."""
        return empty_in_order(shape, dtype, memory_order(like) if like.ndim == len(shape) else ())

    def outs(self, out: object, count: int) -> tuple[Any, ...]:
        """The caller's arrays for so many results: a tuple of as many, or None for each."""
        if out is None:
            return (None,) * count
        if count == 1:
            return (out,)
        if not isinstance(out, tuple) or len(out) != count or any(entry is None for entry in out):
            raise self.type_error(f"out is a {type_name(out)}", f"there are {count} results", "give a tuple of arrays")
        return out

    def give(self) -> Any:
        """The results, in the order in which they were asked for: one array, or a tuple."""
        given = tuple(target.give() for target in self.targets)
        return given[0] if len(given) == 1 else given
